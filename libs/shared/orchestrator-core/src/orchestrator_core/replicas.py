"""A replica as placement sees it: facts that change with a report, not with a task."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from pool_registry_types import HealthState


class PoolRef(NamedTuple):
    """A pool, unique in the cluster; `str()` gives `node_id:pool_id`."""

    node_id: str
    pool_id: str

    def __str__(self) -> str:
        return f"{self.node_id}:{self.pool_id}"


class ReplicaKey(NamedTuple):
    """A replica, unique in the cluster; the order of keys is the last tie-break of placement."""

    node_id: str
    pool_id: str
    replica_id: str

    @property
    def pool(self) -> PoolRef:
        """The pool this replica belongs to."""
        return PoolRef(self.node_id, self.pool_id)


class ReplicaView(msgspec.Struct, frozen=True, kw_only=True):
    """One replica; how many tasks it runs is kept beside it, in `ReplicaIndex`.

    Frozen, so that a report builds it once and every decision may keep it; and a struct, of which
    one with another value is made in one step, since a cluster reports a hundred times a second.
    """

    key: ReplicaKey
    engine: str
    state: HealthState
    model_id: str | None = None
    model_digest: str | None = None
    engine_version: str | None = None
    slots_total: int = 1
    vram_free_bytes: int = 0
    ctx_max: int | None = None
    """Tokens of context of one slot; None: unknown, any demand is let through."""
    device_mask: str | None = None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The labels of its node."""
    workloads: frozenset[str] | None = None
    """None: unknown, any workload is let through."""
    loadable_models: frozenset[str] = frozenset()
    """Models that its pool may load in place of the present one."""
    prompt_cache: bool = True
    generation: int = 0
    pid: int | None = None
    """Of its engine, where its node tells."""
    online: bool = True
    draining: bool = False
    suspect: bool = False
    """It has not confirmed the stop of a task and gets none until it answers."""
    breaker_closed: bool = True

    def but(self, **facts: Any) -> "ReplicaView":
        """Return the same replica with other facts."""
        return replace(self, **facts)

    @property
    def process(self) -> tuple[int, int | None]:
        """Name its engine process: a daemon that was started anew counts generations from 1."""
        return self.generation, self.pid

    @property
    def takes_tasks(self) -> bool:
        """Whether a new task may start here, were a slot free."""
        return (
            self.state is HealthState.READY
            and self.online
            and not self.draining
            and not self.suspect
            and self.breaker_closed
        )
