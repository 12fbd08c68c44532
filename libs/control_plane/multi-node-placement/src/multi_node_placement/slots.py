"""Who holds the slots of a replica: our reservations, and leases that only the node knows of."""

from collections.abc import Iterable
from typing import NamedTuple

from orchestrator_core import ReplicaKey


class Reservation(NamedTuple):
    """A slot of a replica that is ours until released."""

    number: int
    key: ReplicaKey
    generation: int
    """Of the engine process it was made for."""


class _Slots:
    __slots__ = ("foreign", "full", "granted", "ours", "peak", "peak_before")

    def __init__(self) -> None:
        self.ours = 0
        self.foreign = 0
        self.full = False
        """The node refused a task; believed until its next report."""
        self.peak = 0
        self.peak_before = 0
        self.granted = 0


class SlotLedger:
    """Counts reservations, and tells from reports which leases are not ours.

    A report counts our leases too, as they were when it was made: between then and now some
    were released and others are new. So the most that we held at once since the report before
    the last one is taken to be ours and only the rest to be foreign. That never counts a lease
    twice; it may miss a foreign one, which the node then refuses (`mark_full`).
    """

    def __init__(self) -> None:
        self._slots: dict[ReplicaKey, _Slots] = {}
        self._open: dict[int, Reservation] = {}
        self._numbers = 0

    def reserve(self, key: ReplicaKey, generation: int) -> Reservation:
        """Count one more reservation; whether a slot is free is the caller's to know."""
        slots = self._slots.get(key)
        if slots is None:
            slots = self._slots[key] = _Slots()
        slots.ours += 1
        slots.granted += 1
        slots.peak = max(slots.peak, slots.ours)
        self._numbers += 1
        reservation = Reservation(self._numbers, key, generation)
        self._open[reservation.number] = reservation
        return reservation

    def release(self, reservation: Reservation) -> bool:
        """Count one less; False if it had been released before."""
        if self._open.pop(reservation.number, None) is None:
            return False
        self._slots[reservation.key].ours -= 1
        return True

    def report(self, counts: Iterable[tuple[ReplicaKey, int]]) -> list[tuple[ReplicaKey, int]]:
        """Learn how many slots a node says are taken; returns what is `active` where it differs."""
        # No call for each of them: nodes say it again and again, and mostly nothing comes of it.
        known = self._slots
        differing = []
        for key, taken in counts:
            if key not in known:
                if not taken:
                    continue
                known[key] = _Slots()
            slots = known[key]
            most = slots.peak
            if most != slots.peak_before:
                most = max(most, slots.peak_before)
            foreign = taken - most if taken > most else 0
            if slots.full or foreign != slots.foreign:
                slots.foreign, slots.full = foreign, False
                differing.append((key, slots.ours + foreign))
            slots.peak_before, slots.peak = slots.peak, slots.ours
        return differing

    def mark_full(self, key: ReplicaKey) -> None:
        """Take every slot of a replica for taken until its next report."""
        self._slots.setdefault(key, _Slots()).full = True

    def forget(self, key: ReplicaKey) -> None:
        """Drop what a vanished replica's node said; our reservations stay until released."""
        slots = self._slots.get(key)
        if slots is not None:
            slots.foreign, slots.full = 0, False
            if not slots.ours:
                del self._slots[key]

    def active(self, key: ReplicaKey, slots_total: int) -> int:
        """Count the slots that are taken, ours and foreign."""
        slots = self._slots.get(key)
        if slots is None:
            return 0
        active = slots.ours + slots.foreign
        return max(active, slots_total) if slots.full else active

    def ours(self, key: ReplicaKey) -> int:
        """Count our open reservations on a replica."""
        slots = self._slots.get(key)
        return 0 if slots is None else slots.ours

    def granted(self, key: ReplicaKey) -> int:
        """Count the reservations ever made on a replica while it was known."""
        slots = self._slots.get(key)
        return 0 if slots is None else slots.granted

    def check_invariants(self) -> None:
        """Assert that the counts are those of the open reservations; linear, for tests."""
        open_: dict[ReplicaKey, int] = {}
        for reservation in self._open.values():
            open_[reservation.key] = open_.get(reservation.key, 0) + 1
        for key, slots in self._slots.items():
            assert slots.ours == open_.get(key, 0)
            assert slots.foreign >= 0
            assert slots.ours <= slots.peak
