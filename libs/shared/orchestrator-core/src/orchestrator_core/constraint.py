"""What a task demands of a replica, and what it would like.

The two are apart because they act differently. A `Constraint` decides whether a replica may
serve the task at all: tasks with an equal one share a lane of the queue. `Preferences` choose
among the replicas that have a free slot now: they never make a task wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from orchestrator_core.replicas import PoolRef, ReplicaKey

NO_LABELS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """The hard demands of a task: hashable, the key of its lane.

    A queue looks at each of its lanes when a slot frees, so there should be few: give
    `ctx_tokens` as asked for by the client, not as computed from each prompt.
    """

    model_id: str
    workload: str = "completion"
    engine: str | None = None
    ctx_tokens: int = 0
    strict: bool = False
    """Only replicas with one slot and the prompt cache off."""
    only_pools: frozenset[PoolRef] = frozenset()
    """A pin, or the pools of a `prefer` without fallback; empty: any."""
    only_labels: tuple[tuple[str, str], ...] = ()
    """The labels of a `prefer` without fallback, sorted; empty: any."""
    node_id: str | None = None
    device_mask: str | None = None
    avoid_pools: frozenset[PoolRef] = frozenset()
    model_digest: str | None = None
    """Set by `resume`: the text so far was made by these weights."""
    engine_version: str | None = None
    """Set by `resume`, like the digest."""
    _hash: int = field(init=False, repr=False, compare=False)
    """Made once: a constraint is looked up many times a task."""

    def __post_init__(self) -> None:
        compared = (getattr(self, each.name) for each in fields(self) if each.compare)
        object.__setattr__(self, "_hash", hash(tuple(compared)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Which of the replicas with a free slot is best, in this order of weight."""

    affinity: ReplicaKey | None = None
    """Where the session's cache is warm."""
    pools: tuple[PoolRef, ...] = ()
    """The first one named wins."""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    """The replica whose node matches more of them wins."""
    spread_by: str | None = None
    """A node label: the value under which the fewest tasks of this model run wins."""

    @property
    def any(self) -> bool:
        """Whether there is anything to prefer."""
        return bool(self.affinity or self.pools or self.labels or self.spread_by)


ANYWHERE = Preferences()
"""What nearly every task prefers: nothing."""
