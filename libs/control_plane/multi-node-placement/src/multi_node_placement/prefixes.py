"""Which replica may hold which prefixes in its cache: what was sent there last, within bounds."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence

from orchestrator_core import ReplicaKey

MAX_BLOCKS_IN_ALL = 200_000
"""About 40 MB."""


class PrefixIndex:
    """The blocks of each replica, the ones used longest ago first, and who holds a block.

    A block is always held together with those before it: it is used together with them, and
    counts as used before them. So the replicas that hold the prefix up to a block only get fewer
    along a prompt, and how far it is held is found by bisection.
    """

    def __init__(self, limit: int = MAX_BLOCKS_IN_ALL) -> None:
        self._limit = limit
        self._held: OrderedDict[ReplicaKey, OrderedDict[int, None]] = OrderedDict()
        self._holders: dict[int, dict[ReplicaKey, None]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def remember(self, key: ReplicaKey, blocks: Sequence[int], *, room: int) -> None:
        """Note that a replica is given a prompt; its cache has room for so many blocks."""
        if not blocks:
            return
        held = self._held.setdefault(key, OrderedDict())
        self._held.move_to_end(key)
        for block in reversed(blocks[:room]):
            if block not in held:
                self._holders.setdefault(block, {})[key] = None
                self._size += 1
            held[block] = None
            held.move_to_end(block)
        while len(held) > room:
            self._drop_oldest(key, held)
        while self._size > self._limit:
            oldest, its = next(iter(self._held.items()))
            self._drop_oldest(oldest, its)

    def _drop_oldest(self, key: ReplicaKey, held: OrderedDict[int, None]) -> None:
        block, _ = held.popitem(last=False)
        holders = self._holders[block]
        del holders[key]
        if not holders:
            del self._holders[block]
        self._size -= 1
        if not held:
            del self._held[key]

    def forget(self, key: ReplicaKey) -> None:
        """Drop all that a replica held."""
        held = self._held.get(key)
        while held:
            self._drop_oldest(key, held)

    def depth(self, key: ReplicaKey, blocks: Sequence[int]) -> int:
        """Tell how many blocks of a prompt, from its beginning, a replica holds."""
        held = self._held.get(key)
        if held is None or not blocks or blocks[0] not in held:
            return 0
        if blocks[-1] in held:
            return len(blocks)
        first_missing, end = 1, len(blocks) - 1  # A search without a call for each step.
        while first_missing < end:
            middle = (first_missing + end) // 2
            if blocks[middle] in held:
                first_missing = middle + 1
            else:
                end = middle
        return first_missing

    def warmest(self, blocks: Sequence[int], limit: int) -> dict[ReplicaKey, int]:
        """Give the replicas that hold most of a prompt, with their depths; at most so many.

        Fewer than that many are all that hold any of it.
        """
        found: dict[ReplicaKey, int] = {}
        depth = len(blocks)
        while depth and len(found) < limit:
            # As deep as anybody who was not found deeper; there are no more in between.
            depth = self._reach(blocks[:depth], len(found))
            if depth:
                for key in reversed(self._holders[blocks[depth - 1]]):
                    if len(found) < limit:
                        found.setdefault(key, depth)
        return found

    def _reach(self, blocks: Sequence[int], many: int) -> int:
        """Tell how far more than so many replicas hold a prompt."""
        holders = self._holders
        return bisect_left(
            range(len(blocks)), True, key=lambda at: len(holders.get(blocks[at], ())) <= many
        )

    def check_invariants(self) -> None:
        """Assert that both directions agree and the bound is kept; linear, for tests."""
        assert self._size == sum(map(len, self._held.values())) <= self._limit
        assert self._size == sum(map(len, self._holders.values()))
        assert all(self._held.values())
        for key, held in self._held.items():
            assert all(key in self._holders[block] for block in held)
