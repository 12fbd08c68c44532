"""A node's report, with what of it the report before has said already."""

from collections.abc import Iterable
from typing import NamedTuple, Self, TypeAlias

from multi_node_placement.snapshots import NodeFacts, taken, views_of
from orchestrator_core import ReplicaKey, ReplicaView
from pool_registry_types import PoolSnapshot

Reported: TypeAlias = tuple[ReplicaView, int]
"""A replica, with the number of its slots that the node says are taken."""
Counts: TypeAlias = tuple[tuple[ReplicaKey, int], ...]
"""The same, where nothing but the number is new."""


class NodeReport(NamedTuple):
    """What a node has said of its pools."""

    facts: NodeFacts
    pools: tuple[PoolSnapshot, ...]
    by_pool: tuple[Counts, ...]
    """The slots that are taken, for each of the pools."""
    counts: Counts
    """Of all pools."""

    @classmethod
    def of(
        cls, facts: NodeFacts, pools: Iterable[PoolSnapshot], *, before: Self | None
    ) -> tuple[Self, list[Reported]]:
        """Compare a report with the last one; also returns what that has not said of replicas.

        There is none to compare with if anything but reports has changed views since.
        """
        pools = tuple(pools)
        said = before.said() if before is not None and before.facts == facts else {}
        if not are_distinct(pools):
            said = {}  # Of two pools with one id the last counts, so the order matters.
        by_pool: list[Counts] = []
        new: list[Reported] = []
        for pool in pools:
            old, counts = said.get(pool.pool_id, (None, ()))
            if old is not pool and old != pool:
                reported = list(views_of(pool, facts))
                counts = tuple([(view.key, taken) for view, taken in reported])
                new += reported
            by_pool.append(counts)
        return cls(facts, pools, tuple(by_pool), _joined(by_pool)), new

    def said(self) -> dict[str, tuple[PoolSnapshot, Counts]]:
        """Return what was said, by pool id."""
        return {
            pool.pool_id: (pool, counts)
            for pool, counts in zip(self.pools, self.by_pool, strict=True)
        }

    def with_load(self, pools: tuple[PoolSnapshot, ...]) -> tuple[Self, list[int]]:
        """Take the same pools, be they busier or not; also returns which of them are another."""
        changed = [at for at, pool in enumerate(pools) if pool is not self.pools[at]]
        by_pool = list(self.by_pool)
        for at in changed:
            if by_pool[at] and pools[at].replicas:
                counted = zip(by_pool[at], pools[at].replicas, strict=True)
                by_pool[at] = tuple([(key, taken(replica)) for (key, _), replica in counted])
        return self._replace(pools=pools, by_pool=tuple(by_pool), counts=_joined(by_pool)), changed

    @property
    def keys(self) -> set[ReplicaKey]:
        """Name every replica."""
        return {key for key, _ in self.counts}


def are_distinct(pools: tuple[PoolSnapshot, ...]) -> bool:
    """Whether each pool is there but once."""
    return len({pool.pool_id for pool in pools}) == len(pools)


def _joined(by_pool: Iterable[Counts]) -> Counts:
    return tuple([count for counts in by_pool for count in counts])
