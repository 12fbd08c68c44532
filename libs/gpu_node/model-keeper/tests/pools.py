"""A pool that serves a model."""

from pool_registry_types import HealthState, HealthStatus, PoolSnapshot, ReplicaSnapshot


def serving(model_id: str) -> PoolSnapshot:
    replica = ReplicaSnapshot(
        replica_id="r0",
        health=HealthStatus(state=HealthState.READY, live=True, ready=True),
        slots_total=1,
        slots_free=1,
        model_id=model_id,
        generation=1,
    )
    return PoolSnapshot(
        pool_id=f"pool-{model_id}",
        live=True,
        ready=True,
        draining=False,
        slots_total=1,
        slots_free=1,
        active_leases=0,
        vram_total_bytes=0,
        vram_free_bytes=0,
        engine="llamacpp",
        model_id=model_id,
        state=HealthState.READY,
        replicas=(replica,),
    )
