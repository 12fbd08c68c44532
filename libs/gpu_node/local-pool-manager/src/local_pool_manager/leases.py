"""Slots and who holds them: the pure table behind `acquire` and `release`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from local_pool_manager.errors import LeaseError, ReplicaBusy

OnRevoked = Callable[[str], None]
"""Called once with the reason when a lease must end before its task does."""


class Lease(NamedTuple):
    """The right to run one task in one slot of one engine process."""

    pool_id: str
    replica_id: str
    generation: int
    slot: int
    task_key: str


@dataclass(slots=True)
class LeaseTable:
    """The slots of one engine process; a new process starts with a new table."""

    pool_id: str
    replica_id: str
    generation: int
    slots: int
    _free: list[int] = field(init=False)
    _held: dict[str, tuple[Lease, OnRevoked | None]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._free = list(range(self.slots - 1, -1, -1))

    @property
    def held(self) -> tuple[Lease, ...]:
        """The leases that run."""
        return tuple(lease for lease, _ in self._held.values())

    @property
    def free_count(self) -> int:
        """Slots that nobody holds."""
        return len(self._free)

    def acquire(self, task_key: str, on_revoked: OnRevoked | None = None) -> Lease:
        """Give the task a slot; raises `ReplicaBusy`, or `LeaseError` when it holds one already."""
        if task_key in self._held:
            raise LeaseError(f"task {task_key!r} already holds a slot of {self.name}")
        if not self._free:
            raise ReplicaBusy(f"all {self.slots} slots of {self.name} are taken")
        lease = Lease(self.pool_id, self.replica_id, self.generation, self._free.pop(), task_key)
        self._held[task_key] = lease, on_revoked
        return lease

    def release(self, lease: Lease) -> None:
        """Take the slot back; raises `LeaseError` unless exactly this lease holds it."""
        held = self._held
        if lease.task_key not in held or held[lease.task_key][0] is not lease:
            raise LeaseError(f"{lease} is not held; a lease is released exactly once")
        del held[lease.task_key]
        self._free.append(lease.slot)

    def revoke(self, reason: str) -> None:
        """Tell every holder that its task must end; it still releases its lease itself."""
        for _, on_revoked in tuple(self._held.values()):
            if on_revoked is not None:
                on_revoked(reason)

    @property
    def name(self) -> str:
        """The replica, as messages name it."""
        return f"{self.pool_id}/{self.replica_id}"


def check_invariants(table: LeaseTable) -> None:
    """Raise when a slot is lost, doubled or held twice."""
    slots = [*table._free, *(lease.slot for lease in table.held)]
    if sorted(slots) != list(range(table.slots)):
        raise AssertionError(f"slots of {table.name} do not add up: {sorted(slots)}")
