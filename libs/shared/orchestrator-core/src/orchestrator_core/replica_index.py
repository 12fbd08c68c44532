"""The replicas of a cluster with their load, kept in the order in which placement prefers them."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from operator import attrgetter
from typing import NamedTuple, TypeAlias, TypeVar

from msgspec.structs import replace

from orchestrator_core.constraint import Constraint
from orchestrator_core.errors import UnknownReplica
from orchestrator_core.feasibility import passing_refusal, standing_refusal
from orchestrator_core.replicas import PoolRef, ReplicaKey, ReplicaView

K = TypeVar("K")
Rank = tuple[float, int, ReplicaKey]
"""active/slots ascending, free VRAM descending, key ascending."""


Loaded: TypeAlias = tuple[ReplicaView, int]
"""A replica with the number of tasks that it runs."""


class Moment(NamedTuple):
    """Replicas as they were at one moment; what comes later does not change it."""

    views: tuple[ReplicaView, ...]
    loads: tuple[int, ...]


class _Entry:
    __slots__ = ("active", "fitting", "open", "rank", "view")

    def __init__(self, view: ReplicaView, active: int) -> None:
        self.view = view
        self.active = active
        self.rank = rank_of(view, active)
        self.open = view.takes_tasks
        self.fitting: Constraint | None = None
        """What was found to fit this view last: mostly the next one is the very same."""

    def look(self, view: ReplicaView) -> None:
        """Replace the view."""
        self.view, self.open, self.fitting = view, view.takes_tasks, None

    def fits(self, constraint: Constraint) -> bool:
        """Whether such a task may run here, be it full or not ready."""
        if standing_refusal(constraint, self.view) is not None:
            return False
        self.fitting = constraint
        return True


_NONE: Mapping[ReplicaKey, _Entry] = {}
_VIEW = attrgetter("view")
_ACTIVE = attrgetter("active")


def rank_of(view: ReplicaView, active: int) -> Rank:
    """Place a replica among those that may serve: the lowest rank is taken."""
    load = active / view.slots_total if view.slots_total else 1.0
    return (load, -view.vram_free_bytes, view.key)


class ReplicaIndex:
    """Every known replica; those that take tasks stand in order of rank, for each model.

    One writer owns it. A change costs a bisection and one move in a list, a decision without
    filters looks at the first entry.
    """

    __slots__ = ("_entries", "_models", "_order", "_pools", "version")

    def __init__(
        self,
        views: Iterable[ReplicaView] = (),
        active: Mapping[ReplicaKey, int] | None = None,
    ) -> None:
        self._entries: dict[ReplicaKey, _Entry] = {}
        self._order: dict[str, list[Rank]] = {}
        self._models: dict[str, dict[ReplicaKey, _Entry]] = {}
        self._pools: dict[PoolRef, dict[ReplicaKey, _Entry]] = {}
        self.version = 0
        """Rises with every change."""
        for view in views:
            self.put(view, (active or {}).get(view.key, 0))

    def put(self, view: ReplicaView, active: int) -> None:
        """Add a replica or replace what is known of it."""
        old = self._entries.get(view.key)
        if old is not None and old.view.model_id == view.model_id:
            if old.view is not view or old.active != active:
                self._change(old, view, active)
            return
        if old is not None:
            self._unlist(old)
        self.version += 1
        entry = self._entries[view.key] = _Entry(view, active)
        self._pools.setdefault(view.key.pool, {})[view.key] = entry
        if view.model_id is not None:
            self._models.setdefault(view.model_id, {})[view.key] = entry
            if entry.open:
                insort(self._order.setdefault(view.model_id, []), entry.rank)

    def remove(self, key: ReplicaKey) -> None:
        """Forget a replica; unknown ones are ignored."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.version += 1
            self._unlist(entry)

    def _unlist(self, entry: _Entry) -> None:
        view = entry.view
        _discard(self._pools, view.key.pool, view.key)
        if view.model_id is not None:
            _discard(self._models, view.model_id, view.key)
            if entry.open:
                self._unrank(view.model_id, entry.rank)

    def _unrank(self, model_id: str, rank: Rank) -> None:
        order = self._order[model_id]
        del order[bisect_left(order, rank)]
        if not order:
            del self._order[model_id]

    def set_active(self, key: ReplicaKey, active: int) -> bool:
        """Say how many tasks a replica runs, reservations counted; whether one more may start."""
        entry = self._entries.get(key)
        if entry is None:
            raise UnknownReplica(str(key))
        if active != entry.active:
            self.version += 1
            rank, model_id = rank_of(entry.view, active), entry.view.model_id
            if entry.open and model_id is not None and rank != entry.rank:
                _move(self._order[model_id], entry.rank, rank)
            entry.active, entry.rank = active, rank
        return entry.open and active < entry.view.slots_total

    def set_load(
        self, key: ReplicaKey, active: int | None = None, vram_free_bytes: int | None = None
    ) -> bool:
        """Say what is new of how busy a replica is; whether a task may start that could not before.

        Raises UnknownReplica.
        """
        entry = self._entries.get(key)
        if entry is None:
            raise UnknownReplica(str(key))
        view, before = entry.view, entry.active
        if active is None:
            active = before
        if vram_free_bytes is not None and vram_free_bytes != view.vram_free_bytes:
            # What fits this replica goes on to fit: its free memory only ranks it.
            view = entry.view = replace(view, vram_free_bytes=vram_free_bytes)
        elif active == before:
            return False
        self.version += 1
        rank = rank_of(view, active)
        if entry.open and view.model_id is not None and rank != entry.rank:
            _move(self._order[view.model_id], entry.rank, rank)
        entry.active, entry.rank = active, rank
        return entry.open and active < before and active < view.slots_total

    def _change(self, entry: _Entry, view: ReplicaView, active: int) -> None:
        """Replace what is known of a replica that keeps its model; it moves only in the order."""
        self.version += 1
        was_open, old = entry.open, entry.rank
        if entry.view is not view:
            entry.look(view)
        entry.active, entry.rank = active, rank_of(view, active)
        if view.model_id is None:
            return
        if was_open and entry.open:
            if entry.rank != old:
                _move(self._order[view.model_id], old, entry.rank)
        elif was_open:
            self._unrank(view.model_id, old)
        elif entry.open:
            insort(self._order.setdefault(view.model_id, []), entry.rank)

    def get(self, key: ReplicaKey) -> ReplicaView | None:
        """Look a replica up."""
        entry = self._entries.get(key)
        return None if entry is None else entry.view

    def active(self, key: ReplicaKey) -> int:
        """Tell how many tasks a replica runs; 0 for an unknown one."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.active

    def rank(self, key: ReplicaKey) -> Rank:
        """Tell where a replica stands in the policy's order."""
        entry = self._entries.get(key)
        if entry is None:
            raise UnknownReplica(str(key))
        return entry.rank

    def slots_free(self, key: ReplicaKey) -> int:
        """Tell how many more tasks a replica has room for; 0 for an unknown one."""
        entry = self._entries.get(key)
        return 0 if entry is None else max(0, entry.view.slots_total - entry.active)

    def can_start(self, constraint: Constraint, key: ReplicaKey) -> bool:
        """Whether a task of this constraint could start on this replica at once."""
        return self.startable(constraint, key) is not None

    def startable(self, constraint: Constraint, key: ReplicaKey) -> Loaded | None:
        """Give a replica with its load if a task of this constraint could start there at once."""
        entry = self._entries.get(key)
        if (
            entry is not None
            and entry.active < entry.view.slots_total
            and entry.open
            and (entry.fitting is constraint or entry.fits(constraint))
        ):
            return entry.view, entry.active
        return None

    def has_room(self, model_id: str) -> bool:
        """Whether any replica that takes tasks of a model has a free slot."""
        order = self._order.get(model_id)
        return order is not None and order[0][0] < 1.0

    def able(
        self, constraint: Constraint, passed_over: Collection[ReplicaKey] = ()
    ) -> Iterator[Loaded]:
        """Give the replicas that take such tasks, free or full, best first, with their load."""
        if constraint.only_pools:
            pinned = (self._pools.get(pool, _NONE) for pool in constraint.only_pools)
            ranks = sorted(e.rank for pool in pinned for e in pool.values() if e.open)
        else:
            ranks = self._order.get(constraint.model_id, [])
        for _, _, key in ranks:
            entry = self._entries[key]
            fits = entry.fitting is constraint or entry.fits(constraint)
            if fits and key not in passed_over:
                yield entry.view, entry.active

    def slots_for(self, constraint: Constraint) -> int:
        """Count the slots, free or not, of the replicas that take such tasks; linear."""
        return sum(view.slots_total for view, _ in self.able(constraint))

    def in_order(self, model_id: str) -> Iterator[Loaded]:
        """Give the replicas that take tasks of a model, best first, with their load."""
        for rank in self._order.get(model_id, ()):
            entry = self._entries[rank[2]]
            yield entry.view, entry.active

    def of_model(self, model_id: str) -> Iterator[ReplicaView]:
        """Give every replica that has the model, whatever its state."""
        return (entry.view for entry in self._models.get(model_id, _NONE).values())

    def moment(
        self,
        model_id: str,
        most: int | None = None,
        chosen: ReplicaKey | None = None,
        also: Collection[ReplicaKey] = (),
    ) -> Moment:
        """Keep the replicas that have a model as they are, or any where none has it.

        No more than `most`, but in any case the chosen one and those that are named also.
        """
        found = self._models.get(model_id) or self._entries
        if most is None or len(found) <= most:
            entries = list(found.values())
        else:
            named = dict.fromkeys(also if chosen is None else (chosen, *also))
            first = {key: self._entries[key] for key in (*islice(found, most), *named)}
            entries = list(first.values())
        return Moment(tuple(map(_VIEW, entries)), tuple(map(_ACTIVE, entries)))

    def of_pool(self, pool: PoolRef) -> Iterator[ReplicaView]:
        """Give the replicas of a pool."""
        return (entry.view for entry in self._pools.get(pool, _NONE).values())

    def pools(self) -> Iterator[PoolRef]:
        """Give every pool that has a replica."""
        return iter(self._pools)

    def models(self) -> Iterator[str]:
        """Give every model that a replica has."""
        return iter(self._models)

    def __iter__(self) -> Iterator[ReplicaView]:
        return (entry.view for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def check_invariants(self) -> None:
        """Assert that every list agrees with the entries; linear, for tests."""
        for order in self._order.values():
            assert order == sorted(order)
        for model_id in self._order:
            busy = all(active >= view.slots_total for view, active in self.in_order(model_id))
            assert self.has_room(model_id) is not busy
        ranked = {rank for order in self._order.values() for rank in order}
        open_ = [e for e in self._entries.values() if e.view.takes_tasks and e.view.model_id]
        assert ranked == {entry.rank for entry in open_}
        assert sum(map(len, self._order.values())) == len(open_)
        assert sum(map(len, self._pools.values())) == len(self._entries)
        for entry in self._entries.values():
            assert entry.rank == rank_of(entry.view, entry.active)
            assert (passing_refusal(entry.view) is None) == entry.view.takes_tasks == entry.open


def _move(order: list[Rank], old: Rank, new: Rank) -> None:
    """Move an entry of a sorted list; mostly it stays between its neighbours."""
    at = bisect_left(order, old)
    if (at == 0 or order[at - 1] < new) and (at + 1 == len(order) or new < order[at + 1]):
        order[at] = new
    else:
        del order[at]
        insort(order, new)


def _discard(index: dict[K, dict[ReplicaKey, _Entry]], at: K, key: ReplicaKey) -> None:
    bucket = index[at]
    del bucket[key]
    if not bucket:
        del index[at]
