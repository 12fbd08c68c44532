"""What a purge deletes, what it leaves, and what it refuses before anything has stopped."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from api_types import ApiError, ModelView, PurgeRequest
from catalog_core import Catalog
from catalog_core.testing import gguf_bytes
from model_keeper import CatalogKeeper, CountedProvisioner, Needs, PoolPurger
from model_provisioner import FetchSettings, NetworkPolicy
from model_provisioner.testing import ModelServer
from pool_registry_types import PoolSnapshot

from .pools import serving

ENGINE = PurgeRequest(purge_engine=True)
MODELS = PurgeRequest(purge_models=True)


class FakePools:
    """Pools `main` and `other`; engines stop when the test lets them."""

    def __init__(self) -> None:
        self.active_leases = 0
        self.references: dict[str, tuple[str, ...]] = {"main": (), "other": ()}
        self.built: dict[str, frozenset[Path]] = {"main": frozenset(), "other": frozenset()}
        self.may_stop = asyncio.Event()
        self.stop_error: str | None = None
        self.told: list[tuple[str, object]] = []

    def snapshot(self, pool_id: str) -> PoolSnapshot:
        update = {"pool_id": pool_id, "active_leases": self.active_leases, "replicas": ()}
        return serving("any").model_copy(update={**update, "model_id": None})

    def snapshots(self) -> tuple[PoolSnapshot, ...]:
        return tuple(map(self.snapshot, self.references))

    def model_refs(self) -> Mapping[str, tuple[str, ...]]:
        return self.references

    def builds(self, pool_id: str) -> frozenset[Path]:
        return self.built[pool_id]

    async def _stopped(self) -> SimpleNamespace:
        await self.may_stop.wait()
        return SimpleNamespace(error=self.stop_error)

    def rest(self, pool_id: str, *, drain_ms: int) -> asyncio.Future[SimpleNamespace]:
        self.told.append((f"rest {pool_id}", drain_ms))
        return asyncio.ensure_future(self._stopped())

    def wake(self, pool_id: str) -> None:
        self.told.append((f"wake {pool_id}", None))

    def note(self, pool_id: str, trouble: str) -> None:
        self.told.append((f"note {pool_id}", trouble))


class Bench:
    """A purger with a real catalog and disk."""

    def __init__(self, folder: Path, group: asyncio.TaskGroup) -> None:
        self.folder = folder
        self.catalog = Catalog(folder / "catalog")
        self.pools = FakePools()
        self.waiting: dict[str, int] = {}
        self.unstaged: list[str] = []
        self.provisioner = CountedProvisioner(
            self.catalog,
            base=folder / "models",
            now_ms=lambda: 7,
            fetch=FetchSettings(policy=NetworkPolicy.parse("allow"), keep_free_bytes=0),
            fetched=lambda _bytes: None,
        )
        needs = Needs(
            self.catalog,
            snapshots=self.pools.snapshots,
            preparing=self.provisioner.preparing,
            loading=self.pools.model_refs,
            waiting=lambda model_id: self.waiting.get(model_id, 0),
        )
        keeper = CatalogKeeper(
            *("node", self.catalog, needs),
            view=lambda entry: ModelView(
                model_id=entry.id, reference=entry.reference, state=entry.state
            ),
            changed=self._changed,
            now_ms=lambda: 7,
        )
        self.purger = PoolPurger(self.pools, needs, keeper, group, unstage=self._unstage)

    async def _unstage(self, model_id: str) -> None:
        self.unstaged.append(model_id)

    async def _changed(self) -> None:
        """Nobody listens."""

    async def fetched(self) -> Path:
        """Fetch the model of pool `main`; returns its file."""
        async with ModelServer.running() as server:
            server.files["/tiny.gguf"] = gguf_bytes()
            reference = f"{server.url}/tiny.gguf"
            entry = await self.provisioner.ensure(reference)
        self.pools.references["main"] = (reference,)
        return entry.path

    def build(self, name: str, *pools: str) -> Path:
        """Make what mode `source` leaves, for engines of these pools."""
        made = self.folder / "builds" / name
        made.mkdir(parents=True)
        (made / "built").touch()
        for pool_id in pools:
            self.pools.built[pool_id] |= {made}
        return made

    async def purge(self, request: PurgeRequest) -> list[tuple[str, object]]:
        """Purge `main` to the end; returns what the pools were told."""
        await self.purger.begin("main", request)
        self.pools.may_stop.set()
        while ("wake main", None) not in self.pools.told:
            await asyncio.sleep(0)
        return self.pools.told


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as group:
        bench = Bench(tmp_path, group)
        yield bench
        bench.purger.stop()


async def test_a_fetched_model_goes_from_catalog_and_disk_once_the_engines_have_stopped(
    bench: Bench,
) -> None:
    file = await bench.fetched()
    await bench.purger.begin("main", MODELS)
    assert file.exists(), "its engines run still"
    bench.pools.may_stop.set()
    while ("wake main", None) not in bench.pools.told:
        await asyncio.sleep(0)
    assert not bench.catalog.list()
    assert not file.exists()


async def test_a_file_that_was_not_fetched_stays(bench: Bench) -> None:
    file = bench.folder / "own.gguf"
    file.write_bytes(gguf_bytes())
    await bench.provisioner.ensure(f"file:{file}")
    bench.pools.references["main"] = (f"file:{file}",)
    await bench.purge(MODELS)
    assert file.exists()
    assert not bench.catalog.list()


async def test_builds_go_with_their_logs_but_for_those_that_another_pool_runs_from(
    bench: Bench,
) -> None:
    own, shared = bench.build("own", "main"), bench.build("shared", "main", "other")
    log = own.with_name("own.log")
    log.touch()
    told = await bench.purge(ENGINE.model_copy(update={"delete_cache_dirs": True}))
    assert not own.exists()
    assert not log.exists()
    assert (shared / "built").exists()
    while told[-1][0] != "note main":
        await asyncio.sleep(0)
    assert told[-1][1] == f"purged, but {shared} stays: other pools run from it"


async def test_caches_alone_leave_model_and_engine(bench: Bench) -> None:
    file, build = await bench.fetched(), bench.build("own", "main")
    await bench.purge(PurgeRequest(delete_cache_dirs=True))
    assert file.exists()
    assert build.exists()
    assert bench.unstaged == [entry.id for entry in bench.catalog.list()]


@pytest.mark.parametrize(
    ("request_", "drain_ms"),
    [(ENGINE.model_copy(update={"drain_first": True}), 60_000)]
    + [(ENGINE.model_copy(update={"force": True, "drain_first": each}), 0) for each in (0, 1)],
)
async def test_running_tasks_are_let_end_or_cut_but_only_when_that_was_said(
    bench: Bench, request_: PurgeRequest, drain_ms: int
) -> None:
    bench.pools.active_leases = 2
    with pytest.raises(ApiError, match="2 tasks run") as refused:
        await bench.purger.begin("main", ENGINE)
    assert refused.value.code == "POOL_BUSY"
    assert bench.pools.told == []
    assert (await bench.purge(request_))[0] == ("rest main", drain_ms)


async def test_what_may_not_be_deleted_is_refused_before_anything_stops(bench: Bench) -> None:
    await bench.fetched()
    (entry,) = bench.catalog.list()
    bench.pools.references["other"] = bench.pools.references["main"]
    with pytest.raises(ApiError, match="pool other") as refused:
        await bench.purger.begin("main", MODELS)
    assert refused.value.code == "MODEL_IN_USE"
    bench.pools.references["other"] = ()
    bench.catalog.pin(entry.id, pinned=True)
    with pytest.raises(ApiError, match="pinned"):
        await bench.purger.begin("main", MODELS)
    assert bench.pools.told == []


async def test_a_model_that_a_task_has_come_to_wait_for_stays_and_the_pool_wakes(
    bench: Bench,
) -> None:
    file = await bench.fetched()
    (entry,) = bench.catalog.list()
    await bench.purger.begin("main", MODELS)
    bench.waiting[entry.id] = 1
    bench.pools.may_stop.set()
    while len(bench.pools.told) < 3:
        await asyncio.sleep(0)
    assert file.exists()
    assert bench.pools.told[1] == ("wake main", None)
    assert "1 tasks wait for it" in str(bench.pools.told[2][1])


async def test_engines_that_do_not_stop_keep_everything(bench: Bench) -> None:
    file, build = await bench.fetched(), bench.build("own", "main")
    bench.pools.stop_error = "they did not end"
    await bench.purger.begin("main", PurgeRequest(purge_engine=True, purge_models=True))
    bench.pools.may_stop.set()
    while len(bench.pools.told) < 2:
        await asyncio.sleep(0)
    assert bench.pools.told[-1] == ("note main", "nothing was purged: they did not end")
    assert file.exists()
    assert build.exists()


async def test_one_purge_at_a_time_and_what_others_have_deleted_is_no_failure(bench: Bench) -> None:
    await bench.fetched()
    (entry,) = bench.catalog.list()
    await bench.purger.begin("main", MODELS)
    with pytest.raises(ApiError, match="is being purged") as refused:
        await bench.purger.begin("main", MODELS)
    assert refused.value.code == "POOL_BUSY"
    bench.catalog.delete(entry.id)
    bench.pools.may_stop.set()
    while ("wake main", None) not in bench.pools.told:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert all(what != "note main" for what, _ in bench.pools.told)


async def test_a_catalog_that_fails_keeps_the_model_and_the_program_running(bench: Bench) -> None:
    file = await bench.fetched()
    with bench.catalog.removals.exclusive():
        await bench.purger.begin("main", MODELS)
        bench.pools.may_stop.set()
        while len(bench.pools.told) < 3:
            await asyncio.sleep(0)
    assert file.exists()
    assert "another collection" in str(bench.pools.told[2][1])
