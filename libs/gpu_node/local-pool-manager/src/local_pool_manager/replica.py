"""One replica as the manager sees it: what its supervisor, its handoff and its probe tell."""

from collections.abc import Collection
from dataclasses import dataclass, field

from engine_provisioner import EnginePlan, EngineState, EngineStatus
from local_pool_manager.errors import LeaseError
from local_pool_manager.leases import Lease, LeaseTable
from local_pool_manager.types import ReplicaEndpoint
from pool_registry_types import (
    HandoffModel,
    HandoffPayload,
    HealthState,
    HealthStatus,
    ReplicaSnapshot,
)

HEALTH = {
    EngineState.STOPPED: HealthState.STOPPED,
    EngineState.ADOPTING: HealthState.STARTING,
    EngineState.STARTING: HealthState.STARTING,
    EngineState.LOADING: HealthState.LOADING,
    # Until its handoff has come through the door.
    EngineState.READY: HealthState.LOADING,
    EngineState.UNRESPONSIVE: HealthState.RESTARTING,
    EngineState.STOPPING: HealthState.RESTARTING,
    EngineState.KILLING: HealthState.RESTARTING,
    EngineState.BACKOFF: HealthState.RESTARTING,
    EngineState.FAILED: HealthState.FAILED,
}
"""What an engine's state means for a replica that is not ready."""


@dataclass(slots=True)
class Replica:
    """The state of one replica; only the manager changes it."""

    pool_id: str
    replica_id: str
    supervised: bool
    """Whether its engine is ours to start and stop."""
    prompt_cache: bool = True
    plan: EnginePlan | None = None
    """What its engine will be: known before it serves, and while it is restarted."""
    engine: EngineStatus | None = None
    """From our supervisor; None for an engine of somebody else."""
    lane: int = 0
    """Where that engine runs; a successor starts in the other lane."""
    successor: EngineStatus | None = None
    """The engine that is to take this one's place, while it gets ready."""
    successor_plan: EnginePlan | None = None
    handoff: HandoffPayload | None = None
    answers: bool = False
    """Whether the engine of somebody else is healthy."""
    generation: int = 0
    trouble: str | None = None
    _process: tuple[int, int | None, str, int] | None = None
    _served: tuple[int, int | None, str, int] | None = None
    """The process that the present generation stands for."""
    _leases: dict[int, LeaseTable] = field(default_factory=dict)

    @property
    def serves(self) -> bool:
        """Whether an engine is there, handed over, and healthy."""
        if self.handoff is None:
            return False
        if not self.supervised:
            return self.answers
        engine = self.engine
        return (
            engine is not None
            and engine.state is EngineState.READY
            and engine.pid == self.handoff.pid
        )

    @property
    def last_error(self) -> str | None:
        """The last thing that went wrong."""
        return self.trouble or (self.engine.last_error if self.engine else None)

    @property
    def leases(self) -> LeaseTable | None:
        """The slots of the engine that serves now."""
        return self._leases.get(self.generation) if self.serves else None

    def takes_again(self, payload: HandoffPayload) -> bool:
        """Return whether the engine of this handoff is the one that is there already."""
        known = self.handoff
        return known is not None and _engine_of(known) == _engine_of(payload)

    @property
    def is_leased(self) -> bool:
        """Whether the engine that serves now has anything of ours to do."""
        return self.leases is not None and bool(self.leases.held)

    def take_over(self, payload: HandoffPayload) -> None:
        """Take an engine as it is handed over; the same process again keeps its leases."""
        successor = self.successor
        if successor is not None and successor.pid == payload.pid and self.successor_plan:
            self.settle_on(self.successor_plan, successor)
        self._process = _engine_of(payload)
        self.handoff, self.trouble = payload, None

    def settle_on(self, plan: EnginePlan, engine: EngineStatus | None) -> None:
        """Stand for the engine of this plan from now on, and for no other."""
        self.successor = self.successor_plan = None
        self.plan, self.lane, self.engine = plan, plan.wish.lane, engine

    def tell(self, plan: EnginePlan, status: EngineStatus) -> None:
        """Take what a supervisor says; that of an engine which has had its time is not heard."""
        if plan is self.plan:
            self.engine = status
        elif plan is self.successor_plan:
            self.successor = status

    def told_before(self, status: EngineStatus) -> bool:
        """Return whether this status tells no more than how far a load is."""
        return any(
            known is not None
            and (known.state, known.last_error) == (status.state, status.last_error)
            for known in (self.engine, self.successor)
        )

    def serves_from(self, pids: Collection[int]) -> bool:
        """Return whether it serves, and by one of these processes."""
        return self.serves and self.engine is not None and self.engine.pid in pids

    def held_until(self, generation: int) -> int:
        """Return how many leases engines up to this generation still have."""
        return sum(len(table.held) for known, table in self._leases.items() if known <= generation)

    def revoke_until(self, generation: int, reason: str) -> None:
        """Tell the holders of those leases that their tasks must end."""
        for known, table in self._leases.items():
            if known <= generation:
                table.revoke(reason)

    def renew(self) -> None:
        """Start a table for a new engine process; leases of an earlier one only wait to end."""
        if self.handoff is None or not self.serves:
            return
        if self._process != self._served:
            self._served = self._process
            self.generation += 1
            self._leases = {old: kept for old, kept in self._leases.items() if kept.held}
            self._leases[self.generation] = LeaseTable(
                self.pool_id, self.replica_id, self.generation, self.handoff.slots
            )

    def release(self, lease: Lease) -> None:
        """Give a lease back, also one of an earlier engine."""
        table = self._leases.get(lease.generation)
        if table is None:
            raise LeaseError(f"{lease} is not held; a lease is released exactly once")
        table.release(lease)

    def endpoint(self) -> ReplicaEndpoint | None:
        """Return where the engine is, None when none serves."""
        handoff = self.handoff
        if handoff is None or not self.serves:
            return None
        return ReplicaEndpoint(
            pool_id=self.pool_id,
            replica_id=self.replica_id,
            generation=self.generation,
            url=handoff.url,
            engine=handoff.engine,
            engine_version=handoff.engine_version,
            engine_key=handoff.engine_key,
            model_id=handoff.model.id,
            slots=handoff.slots,
            ctx_max=handoff.ctx_max,
        )

    def state(self, waiting: HealthState) -> HealthState:
        """Return the one word for it; `waiting` is the pool's while there is no engine yet."""
        if self.serves:
            return HealthState.READY
        if self.successor is not None:
            return HEALTH[self.successor.state]
        if self.successor_plan is not None:
            return HealthState.STARTING
        # One that was stopped says nothing of what comes next.
        if self.engine is not None and self.engine.state is not EngineState.STOPPED:
            return HEALTH[self.engine.state]
        if self.supervised:
            return waiting
        return HealthState.STOPPED if self.handoff is None else HealthState.STARTING

    def snapshot(
        self,
        waiting: HealthState,
        *,
        draining: bool,
        closing: bool = False,
        fault: str | None = None,
    ) -> ReplicaSnapshot:
        """Return how it is, as it is reported; while `closing` it takes no new lease."""
        offer, table, state = self._offer(), self.leases, self.state(waiting)
        ready = table is not None and not draining and fault is None
        foreign = self.handoff if not self.supervised else None
        pid = self.engine.pid if self.engine else foreign.pid if foreign else None
        return ReplicaSnapshot(
            replica_id=self.replica_id,
            health=HealthStatus(
                state=HealthState.DRAINING if draining and self.serves else state,
                live=self.answers if self.engine is None else pid is not None,
                ready=ready,
                draining=draining,
                last_error=fault or self.last_error,
            ),
            slots_total=offer.slots if offer else 0,
            slots_free=table.free_count if table and ready and not closing else 0,
            active_leases=len(table.held) if table else 0,
            engine_version=offer.engine_version if offer else None,
            model_id=offer.model.id if offer else None,
            model_digest=offer.model.digest if offer else None,
            ctx_max=offer.ctx_max if offer else None,
            device_mask=offer.device_mask if offer else None,
            pid=pid,
            restarts=self.engine.restarts if self.engine else 0,
            generation=self.generation,
            prompt_cache=self.prompt_cache,
        )

    def _offer(self) -> "_Offer | HandoffPayload | None":
        plan = self.successor_plan or self.plan
        if self.handoff is not None or plan is None:
            return self.handoff
        wish = plan.wish
        return _Offer(
            wish.model, wish.slots, wish.ctx_tokens, plan.engine_version, plan.device_mask
        )


def _engine_of(payload: HandoffPayload) -> tuple[int, int | None, str, int]:
    return payload.pid, payload.pid_start_ticks, payload.url, payload.slots


@dataclass(frozen=True, slots=True)
class _Offer:
    """The part of a handoff that a plan already tells."""

    model: HandoffModel
    slots: int
    ctx_max: int
    engine_version: str
    device_mask: str
