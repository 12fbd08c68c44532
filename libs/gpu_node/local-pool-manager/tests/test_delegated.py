"""Pools whose engines another program starts, before it has handed one over."""

from local_pool_manager import Demand, owning, service_dir
from local_pool_manager.testing import small_pool, until
from pool_registry_types import HealthState

OFFER = {"recital": "recital", "other": "other"}
SERVICE = {"owner": "service"}


async def test_tasks_may_wait_for_the_model_as_long_as_the_other_program_runs(pools, tmp_path):
    pool = small_pool(provisioning=SERVICE)
    async with pools(pool, loadable=lambda: OFFER) as manager:
        alone = await until(manager, "demo", lambda now: now.last_error is not None)
        assert (alone.state, alone.loadable_models) == (HealthState.STOPPED, ())
        with owning(service_dir(tmp_path)):
            starting = await until(manager, "demo", lambda now: now.loadable_models != ())
            assert starting.state is HealthState.STARTING
            assert starting.loadable_models == ("recital",)
        gone = await until(manager, "demo", lambda now: now.loadable_models == ())
        assert gone.state is HealthState.STOPPED


async def test_a_model_that_the_other_program_enters_in_the_catalog_is_offered_soon(
    pools, tmp_path
):
    catalog: dict[str, str] = {}
    with owning(service_dir(tmp_path)):
        async with pools(small_pool(provisioning=SERVICE), loadable=lambda: catalog) as manager:
            # Each change that is told has whoever reads the catalog read it again.
            manager.subscribe(lambda _pool_id: catalog.update(OFFER))
            offered = await until(manager, "demo", lambda now: now.loadable_models != ())
            assert offered.loadable_models == ("recital",)


async def test_a_waiting_task_has_the_first_wish_written(pools, tmp_path):
    pool = small_pool(provisioning=SERVICE, preload=False)
    with owning(service_dir(tmp_path)):
        async with pools(pool, loadable=lambda: OFFER) as manager:
            resting = await until(manager, "demo", lambda now: now.loadable_models != ())
            assert resting.state is HealthState.STOPPED
            manager.demand("demo", {"recital": Demand(1, 0)})
            await until(manager, "demo", lambda now: now.state is HealthState.STARTING)
    assert (tmp_path / "desired" / "demo.json").exists()
