"""One replica as the manager sees it: what its supervisor, its handoff and its probe tell."""

from dataclasses import dataclass, field

from engine_provisioner import EngineState, EngineStatus
from local_pool_manager.errors import LeaseError
from local_pool_manager.leases import Lease, LeaseTable
from local_pool_manager.types import ReplicaEndpoint
from pool_registry_types import HandoffPayload, HealthState, HealthStatus, ReplicaSnapshot

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
    engine: EngineStatus | None = None
    """From our supervisor; None for an engine of somebody else."""
    handoff: HandoffPayload | None = None
    answers: bool = False
    """Whether the engine of somebody else is healthy."""
    generation: int = 0
    trouble: str | None = None
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

    def renew(self) -> None:
        """Start a table for a new engine process; leases of an earlier one only wait to end."""
        if self.handoff is None or not self.serves:
            return
        if self.engine is not None:
            self.generation = self.engine.generation
        table = self._leases.get(self.generation)
        if table is None:
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
        if self.engine is not None:
            return HEALTH[self.engine.state]
        if self.supervised:
            return waiting
        return HealthState.STOPPED if self.handoff is None else HealthState.STARTING

    def snapshot(self, waiting: HealthState, *, draining: bool) -> ReplicaSnapshot:
        """Return how it is, as it is reported."""
        handoff, table, state = self.handoff, self.leases, self.state(waiting)
        ready = table is not None and not draining
        pid = self.engine.pid if self.engine else handoff.pid if handoff else None
        return ReplicaSnapshot(
            replica_id=self.replica_id,
            health=HealthStatus(
                state=HealthState.DRAINING if draining and self.serves else state,
                live=pid is not None,
                ready=ready,
                draining=draining,
                last_error=self.last_error,
            ),
            slots_total=handoff.slots if handoff else 0,
            slots_free=table.free_count if table and ready else 0,
            active_leases=len(table.held) if table else 0,
            engine_version=handoff.engine_version if handoff else None,
            model_id=handoff.model.id if handoff else None,
            model_digest=handoff.model.digest if handoff else None,
            ctx_max=handoff.ctx_max if handoff else None,
            device_mask=handoff.device_mask if handoff else None,
            pid=pid,
            restarts=self.engine.restarts if self.engine else 0,
            generation=self.generation,
            prompt_cache=self.prompt_cache,
        )
