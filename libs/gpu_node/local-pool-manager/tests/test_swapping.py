"""Pools that load whatever model is asked for, on real engines."""

import asyncio
import time
from collections import deque

from local_pool_manager import Demand
from local_pool_manager.testing import FixedModels, small_pool, until, until_ready
from pool_registry_types import HealthState

TASKS = 200
MAX_WAIT_MS = 1_500
MIN_RESIDENCY_MS = 400
TIGHT = {"ram_available": lambda: 0}
CATALOG = {"recital": "recital", "other": "other", "broken": "broken"}


def swapping(**more):
    return small_pool(model_ref=None, swap_models=True, **more)


def one(oldest_ms: int = 0) -> Demand:
    return Demand(waiting=1, oldest_ms=oldest_ms)


class Queue:
    """A control plane in small: a queue a model, told to the pool, served as slots come free."""

    def __init__(self, pools, tasks) -> None:
        self.pools, self.tasks = pools, tasks
        self.waiting: dict[str, deque[float]] = {"recital": deque(), "other": deque()}
        self.told: list[tuple[str, str]] = []
        self.waits_ms: list[float] = []
        self.served: list[str] = []

    def tell(self) -> None:
        now = time.monotonic()
        self.pools.demand(
            "demo",
            {
                model_id: Demand(len(queue), round(1000 * (now - queue[0])) if queue else 0)
                for model_id, queue in self.waiting.items()
            },
        )

    async def serve(self, count: int) -> None:
        """Run so many tasks, each on a replica that has its model."""
        changed = asyncio.Event()
        end = self.pools.subscribe(lambda _: changed.set())
        async with asyncio.TaskGroup() as group:
            while len(self.served) < count:
                changed.clear()
                replica = self.pools.snapshot("demo").replicas[0]
                queue = self.waiting.get(replica.model_id or "", deque())
                if queue and replica.slots_free:
                    self.waits_ms.append(1000 * (time.monotonic() - queue.popleft()))
                    self.served.append(replica.model_id)
                    group.create_task(self._run())
                    self.tell()
                    await asyncio.sleep(0)
                    continue
                await changed.wait()
        end()

    async def _run(self) -> None:
        # The model is that of the lease: the pool may have moved on since the slot was seen.
        self.told.append(await self.tasks.task())


async def test_a_pool_without_a_model_loads_the_one_that_is_asked_for(pools, models):
    source = FixedModels(models)
    async with pools(swapping(), models=source, loadable=lambda: CATALOG) as manager:
        told = await until(manager, "demo", lambda snapshot: bool(snapshot.loadable_models))
        assert told.loadable_models == tuple(CATALOG)
        assert (told.state, told.model_id, told.swap_models) == (HealthState.STOPPED, None, True)
        manager.demand("demo", {"other": one()})
        assert (await until_ready(manager)).model_id == "other"


async def test_two_models_take_turns_with_few_swaps_and_bounded_waits(
    pools, models, client, said_by
):
    pool = swapping(min_residency_ms=MIN_RESIDENCY_MS)
    async with pools(
        pool,
        models=FixedModels(models),
        loadable=lambda: CATALOG,
        swap_max_wait_ms=MAX_WAIT_MS,
        **TIGHT,
    ) as manager:
        began = time.monotonic()
        manager.demand("demo", {"recital": one()})
        await until_ready(manager)
        load_ms = 1000 * (time.monotonic() - began)
        queue, began = Queue(manager, client(manager)), time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.serve(TASKS))
            for number in range(TASKS):
                queue.waiting["recital" if number % 2 else "other"].append(time.monotonic())
                queue.tell()
                await asyncio.sleep(0.015)
        took_ms = 1000 * (time.monotonic() - began)
        assert len(queue.told) == TASKS
        assert all(text == said_by(model_id) for model_id, text in queue.told)
        swaps = sum(a != b for a, b in zip(queue.served, queue.served[1:], strict=False))
        assert 1 <= swaps <= took_ms / MIN_RESIDENCY_MS
        assert swaps <= 10, "alternating tasks are grouped by model"
        # A turn of the other model, which lasts as long as its load, and the load of one's own:
        # three loads, with much air for a machine whose other work comes in gusts.
        assert max(queue.waits_ms) < 2 * MAX_WAIT_MS + 6 * max(load_ms, 1_000)
        assert manager.snapshot("demo").last_error is None


async def test_a_running_task_keeps_its_model_until_the_bound_and_then_drains(pools, models):
    staged: list[str] = []
    async with pools(
        swapping(min_residency_ms=0),
        models=FixedModels(models),
        loadable=lambda: CATALOG,
        swap_max_wait_ms=300,
        stage=staged.append,
        **TIGHT,
    ) as manager:
        manager.demand("demo", {"recital": one()})
        await until_ready(manager)
        lease = manager.acquire("demo", "r0", "a/1")
        manager.demand("demo", {"other": one()})
        closing = await until(manager, "demo", lambda snapshot: snapshot.slots_free == 0)
        assert (closing.ready, closing.model_id) == (True, "recital")
        manager.release(lease)
        ready = await until(
            manager, "demo", lambda snapshot: snapshot.ready and snapshot.model_id == "other"
        )
        assert ready.slots_free == 2
    assert staged == ["other"], "the next model is brought into RAM while the other one serves"


async def test_a_swap_that_nobody_waits_for_any_more_is_given_up_while_the_old_model_is_used(
    pools, models
):
    async with pools(
        swapping(min_residency_ms=0),
        models=FixedModels(models),
        loadable=lambda: CATALOG,
        swap_max_wait_ms=100,
        **TIGHT,
    ) as manager:
        manager.demand("demo", {"recital": one()})
        pid = (await until_ready(manager)).replicas[0].pid
        lease = manager.acquire("demo", "r0", "a/1")
        manager.demand("demo", {"other": one()})
        closing = await until(manager, "demo", lambda snapshot: snapshot.slots_free == 0)
        assert (closing.change.phase, closing.change.model_id) == ("draining", "other")
        manager.demand("demo", {})
        kept = await until(manager, "demo", lambda snapshot: snapshot.slots_free == 1)
        assert (kept.model_id, kept.replicas[0].pid, kept.change) == ("recital", pid, None)
        assert kept.last_error is None
        manager.release(lease)


async def test_a_drained_pool_swaps_for_nobody_until_it_is_resumed(pools, models):
    async with pools(
        swapping(min_residency_ms=0),
        models=FixedModels(models),
        loadable=lambda: CATALOG,
        swap_max_wait_ms=50,
        **TIGHT,
    ) as manager:
        manager.demand("demo", {"recital": one()})
        generation = (await until_ready(manager)).replicas[0].generation
        manager.drain("demo", 1000)
        manager.demand("demo", {"other": one(oldest_ms=1000)})
        await asyncio.sleep(0.3)  # Longer than any bound of this pool: nothing happens.
        assert manager.snapshot("demo").replicas[0].generation == generation
        manager.resume("demo")
        await until(manager, "demo", lambda s: s.ready and s.model_id == "other")


async def test_a_model_that_does_not_load_leaves_the_loaded_one_in_service(pools, models):
    async with pools(
        swapping(min_residency_ms=0),
        models=FixedModels(models),
        loadable=lambda: CATALOG,
        swap_max_wait_ms=100,
        **TIGHT,
    ) as manager:
        manager.demand("demo", {"recital": one()})
        await until_ready(manager)
        manager.demand("demo", {"broken": one()})
        told = await until(manager, "demo", lambda s: s.ready and "broken" in (s.last_error or ""))
        assert told.model_id == "recital"
        manager.acquire("demo", "r0", "a/1")


async def test_an_unused_model_is_unloaded_and_comes_back_when_it_is_asked_for(pools, models):
    pool = swapping(min_residency_ms=0, idle_unload_ms=200)
    async with pools(
        pool, models=FixedModels(models), loadable=lambda: CATALOG, **TIGHT
    ) as manager:
        manager.demand("demo", {"recital": one()})
        await until_ready(manager)
        manager.demand("demo", {})
        gone = await until(manager, "demo", lambda snapshot: snapshot.model_id is None)
        assert (gone.live, gone.ready, gone.state) == (False, False, HealthState.STOPPED)
        manager.demand("demo", {"recital": one()})
        await until_ready(manager)


async def test_a_pool_that_waits_for_its_first_wish_starts_with_it(pools):
    async with pools(small_pool(preload=False)) as manager:
        manager.demand("demo", {"recital": one()})
        await until_ready(manager)
