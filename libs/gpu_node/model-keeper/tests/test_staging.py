"""Which models are in RAM, as pools take them and let them go."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api_types import ApiError, ErrorCode, StagedView
from catalog_core import Catalog
from catalog_core.testing import model_entry
from model_cache import ModelCache, resident_bytes
from model_cache.testing import cold_file
from model_keeper import CacheMetrics, Loads, Staging
from telemetry_core import Metrics, Program

from .pools import serving

MIB = 1 << 20


class Machine:
    """A catalog of three models of 4 MiB, RAM for two of them, and what pools serve."""

    def __init__(self, folder: Path, cache: ModelCache, metrics: Metrics) -> None:
        self.catalog = Catalog(folder / "catalog")
        for name in ("a", "b", "c"):
            path = cold_file(folder / f"{name}.gguf", 4 * MIB)
            update = {"path": path, "size_bytes": 4 * MIB}
            self.catalog.put(model_entry(name).model_copy(update=update))
        self.served: tuple[str, ...] = ()
        self.metrics = metrics
        self.cache = cache
        self.loads = Loads()
        self.staging = Staging(
            *("node", self.catalog, cache),
            snapshots=lambda: tuple(serving(model_id) for model_id in self.served),
        )

    def path(self, name: str) -> Path:
        return self.catalog.get(name).path

    def serve(self, *names: str) -> None:
        self.served = names
        self.staging.stir()

    async def states(self) -> dict[str, str]:
        return {model.model_id: model.state for model in (await self.staging.view()).models}

    async def staged(self, name: str, *, pinned: bool = False) -> StagedView:
        await self.staging.stage(name, pinned=pinned)
        await self.cache.settled(name)
        (found,) = (m for m in (await self.staging.view()).models if m.model_id == name)
        return found

    async def until(self, states: dict[str, str]) -> None:
        while await self.states() != states:
            await asyncio.sleep(0.01)

    def exposed(self) -> dict[str, float]:
        lines = self.metrics.expose()[0].decode().splitlines()
        pairs = (line.split(" ") for line in lines if line.startswith("model_cache"))
        return {name.partition("{")[0]: float(value) for name, value in pairs}


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    metrics = Metrics(Program.POOL_MANAGERD, constant={"node_id": "node"})
    async with (
        ModelCache.running(9 * MIB, observer=CacheMetrics(metrics)) as cache,
        asyncio.TaskGroup() as group,
    ):
        machine = Machine(tmp_path, cache, metrics)
        loop = group.create_task(machine.staging.follow())
        yield machine
        loop.cancel()


async def test_a_staged_model_is_in_ram_and_tells_how(machine: Machine) -> None:
    found = await machine.staged("a")
    assert (found.state, found.done_bytes, found.node_id) == ("staged", 4 * MIB, "node")
    assert (found.method == "preread") is bool(found.why_not_locked)
    assert resident_bytes(machine.path("a")) == 4 * MIB
    assert machine.exposed()["model_cache_size_bytes"] == 4 * MIB


async def test_a_load_tells_whether_its_model_was_staged(machine: Machine) -> None:
    machine.loads(machine.path("b"))
    machine.loads.listen(machine.staging.loads)
    await machine.staged("a")
    machine.loads(machine.path("a"))
    view = await machine.staging.view()
    assert (view.hits, view.misses) == (1, 1)
    assert machine.exposed() == {
        "model_cache_hits_total": 1,
        "model_cache_misses_total": 1,
        "model_cache_size_bytes": 4 * MIB,
    }


async def test_what_a_pool_serves_is_let_go_and_comes_back_only_where_it_is_pinned(
    machine: Machine,
) -> None:
    await machine.staged("a")
    await machine.staged("b", pinned=True)
    machine.serve("a", "b")
    await machine.until({"b": "served"})
    machine.serve()
    while "b" not in {model.model_id for model in machine.cache.status().models}:
        await asyncio.sleep(0.01)
    assert (await machine.cache.settled("b")).pinned


async def test_a_served_model_is_not_staged_but_may_be_pinned(machine: Machine) -> None:
    machine.serve("a")
    with pytest.raises(ApiError, match="pool pool-a") as caught:
        await machine.staging.stage("a", pinned=False)
    assert caught.value.code is ErrorCode.MODEL_IN_USE
    assert (await machine.staging.stage("a", pinned=True)).state == "served"
    machine.serve("b")
    while "a" not in {model.model_id for model in machine.cache.status().models}:
        await asyncio.sleep(0.01)
    await machine.staging.unstage("a")
    assert await machine.states() == {}


async def test_a_model_that_does_not_fit_beside_pinned_ones_is_refused(machine: Machine) -> None:
    await machine.staged("a", pinned=True)
    await machine.staged("b", pinned=True)
    with pytest.raises(ApiError, match="lacks") as caught:
        await machine.staging.stage("c", pinned=False)
    assert caught.value.code is ErrorCode.INSUFFICIENT_RAM
    await machine.staging.stage("b", pinned=False)
    await machine.staging.stage("c", pinned=False)
    assert set(await machine.states()) == {"a", "c"}


async def test_what_is_unknown_or_not_staged_cannot_be_let_go_and_the_deleted_is(
    machine: Machine,
) -> None:
    for name in ("a", "nothing"):
        with pytest.raises(ApiError) as caught:
            await machine.staging.unstage(name)
        assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
    with pytest.raises(ApiError, match="nothing"):
        await machine.staging.stage("nothing", pinned=False)
    await machine.staged("a", pinned=True)
    machine.catalog.delete("a")
    await machine.staging.forget_deleted()
    assert await machine.states() == {}


async def test_what_a_pool_will_load_is_staged_ahead_if_there_is_room(machine: Machine) -> None:
    await machine.staged("a", pinned=True)
    await machine.staged("b", pinned=True)
    machine.loads.next_model = machine.staging.stage_ahead
    machine.serve("b")
    await machine.until({"a": "staged", "b": "served"})
    machine.loads.stage("c")
    while "c" not in await machine.states():
        await asyncio.sleep(0.01)
