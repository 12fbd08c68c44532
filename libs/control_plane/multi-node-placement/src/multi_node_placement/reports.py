"""A node's report, with what of it the report before has said already."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, TypeAlias

from multi_node_placement.snapshots import NodeFacts, views_of
from orchestrator_core import ReplicaKey, ReplicaView
from pool_registry_types import PoolSnapshot

Reported: TypeAlias = tuple[ReplicaView, int]
"""A replica, with the number of its slots that the node says are taken."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node has said of its pools, as views; those of pools that are as before are kept."""

    facts: NodeFacts
    pools: tuple[tuple[PoolSnapshot, tuple[Reported, ...]], ...]
    known: tuple[Reported, ...]
    """Of pools of which the report before said the same."""
    new: tuple[Reported, ...]
    counts: tuple[tuple[ReplicaKey, int], ...]
    """Of every replica: the slots that are taken."""

    @classmethod
    def of(cls, facts: NodeFacts, pools: Iterable[PoolSnapshot], *, before: Self | None) -> Self:
        """Compare a report with the last one, unless anything but reports has changed views."""
        pools = tuple(pools)
        said = _by_id(before.pools) if before is not None and before.facts == facts else {}
        if len({pool.pool_id for pool in pools}) < len(pools):
            said = {}  # Of two pools with one id the last counts, so the order matters.
        views: list[tuple[PoolSnapshot, tuple[Reported, ...]]] = []
        known: list[Reported] = []
        new: list[Reported] = []
        for pool in pools:
            old = said.get(pool.pool_id)
            if old is not None and (old[0] is pool or old[0] == pool):
                views.append(old)
                known += old[1]
            else:
                views.append((pool, tuple(views_of(pool, facts))))
                new += views[-1][1]
        counts = tuple([(view.key, taken) for _, reported in views for view, taken in reported])
        return cls(facts, tuple(views), tuple(known), tuple(new), counts)

    @property
    def snapshots(self) -> tuple[PoolSnapshot, ...]:
        """The pools as they were reported."""
        return tuple(pool for pool, _ in self.pools)

    @property
    def keys(self) -> set[ReplicaKey]:
        """Name every replica."""
        return {key for key, _ in self.counts}


def _by_id(
    pools: tuple[tuple[PoolSnapshot, tuple[Reported, ...]], ...],
) -> dict[str, tuple[PoolSnapshot, tuple[Reported, ...]]]:
    return {pool.pool_id: (pool, views) for pool, views in pools}
