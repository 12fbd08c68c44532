"""For tests of users: reports as nodes make them."""

from pool_registry_types import HealthState, HealthStatus, PoolSnapshot, ReplicaSnapshot


def pool_report(
    pool_id: str = "p",
    *,
    replicas: int = 1,
    slots: int = 2,
    leases: int = 0,
    state: HealthState = HealthState.READY,
    model_id: str | None = "m",
    generation: int = 1,
    draining: bool = False,
    prompt_cache: bool = True,
    vram_free_bytes: int = 0,
) -> PoolSnapshot:
    """Make the report of a pool whose replicas, `r0` and up, are all in the same state.

    `leases` are those of each replica, ours and those of others.
    """
    ready = state is HealthState.READY
    snapshots = tuple(
        ReplicaSnapshot(
            replica_id=f"r{n}",
            health=HealthStatus(state=state, live=True, ready=ready),
            slots_total=slots,
            slots_free=max(0, slots - leases) if ready else 0,
            active_leases=leases,
            model_id=model_id,
            ctx_max=4096,
            generation=generation,
            prompt_cache=prompt_cache,
        )
        for n in range(replicas)
    )
    return PoolSnapshot(
        pool_id=pool_id,
        live=True,
        ready=ready,
        draining=draining,
        slots_total=slots * replicas,
        slots_free=0,
        active_leases=leases,
        vram_total_bytes=0,
        vram_free_bytes=vram_free_bytes,
        engine="llamacpp",
        model_id=model_id,
        state=state,
        replicas=snapshots,
    )
