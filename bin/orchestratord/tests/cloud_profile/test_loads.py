"""What of a report is load: all else has to be found out about."""

import pytest

from orchestratord.cloud.loads import are_same_but_for_load
from pool_registry_types import (
    HealthState,
    HealthStatus,
    LoadFailure,
    ModelChange,
    PoolSnapshot,
    ReplicaSnapshot,
)

LOAD = {"slots_free", "active_leases", "vram_free_bytes"}
"""The names of what changes with each task."""
WELL = HealthStatus(state=HealthState.READY, live=True, ready=True)
ILL = HealthStatus(
    state=HealthState.DRAINING, live=False, ready=False, draining=True, last_error="it fell"
)
REPLICA = ReplicaSnapshot(replica_id="r0", health=WELL)
OTHER_REPLICA = ReplicaSnapshot(
    replica_id="r1",
    health=ILL,
    slots_total=4,
    slots_free=3,
    active_leases=1,
    engine_version="2",
    model_id="tiny",
    model_digest=f"sha256:{'0' * 64}",
    ctx_max=1,
    device_mask="gpu:0",
    pid=1,
    restarts=1,
    generation=1,
    prompt_cache=False,
)
POOL = PoolSnapshot(
    pool_id="chat",
    live=True,
    ready=True,
    draining=False,
    slots_total=0,
    slots_free=0,
    active_leases=0,
    vram_total_bytes=0,
    vram_free_bytes=0,
    engine="llamacpp",
    replicas=(REPLICA,),
)
OTHER_POOL = PoolSnapshot(
    pool_id="code",
    live=False,
    ready=False,
    draining=True,
    slots_total=4,
    slots_free=3,
    active_leases=1,
    vram_total_bytes=2,
    vram_free_bytes=1,
    engine="vllm",
    engine_version="2",
    model_id="tiny",
    device_mask="gpu:0",
    last_error="it fell",
    state=HealthState.FAILED,
    replicas=(OTHER_REPLICA,),
    swap_models=True,
    loadable_models=("tiny",),
    load_failures=(LoadFailure(model_id="tiny", reason="too large"),),
    change=ModelChange(phase="starting"),
)


def with_replicas(*replicas: ReplicaSnapshot) -> PoolSnapshot:
    return POOL.model_copy(update={"replicas": replicas})


@pytest.mark.parametrize("name", PoolSnapshot.model_fields)
def test_of_a_pool_it_is_free_slots_and_memory(name: str) -> None:
    other = getattr(OTHER_POOL, name)
    assert getattr(POOL, name) != other
    now = POOL.model_copy(update={name: other})
    assert are_same_but_for_load((POOL,), (now,)) == (name in LOAD)


@pytest.mark.parametrize("name", ReplicaSnapshot.model_fields)
def test_of_a_replica_it_is_free_slots(name: str) -> None:
    other = getattr(OTHER_REPLICA, name)
    assert getattr(REPLICA, name) != other
    now = with_replicas(REPLICA.model_copy(update={name: other}))
    assert are_same_but_for_load((POOL,), (now,)) == (name in LOAD)


@pytest.mark.parametrize("name", HealthStatus.model_fields)
def test_the_health_of_a_replica_is_not(name: str) -> None:
    health = WELL.model_copy(update={name: getattr(ILL, name)})
    now = with_replicas(REPLICA.model_copy(update={"health": health}))
    assert not are_same_but_for_load((POOL,), (now,))


def test_what_is_read_anew_and_says_the_same_is_the_same() -> None:
    again = POOL.model_copy(deep=True)
    assert are_same_but_for_load((POOL, OTHER_POOL), (again, OTHER_POOL.model_copy(deep=True)))


def test_another_number_of_pools_or_replicas_is_not() -> None:
    assert not are_same_but_for_load((POOL,), (POOL, OTHER_POOL))
    assert not are_same_but_for_load((POOL,), (with_replicas(),))
    assert not are_same_but_for_load((POOL,), (with_replicas(REPLICA, OTHER_REPLICA),))
