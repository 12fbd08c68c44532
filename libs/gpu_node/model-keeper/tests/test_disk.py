"""Fetches in the background, what models are needed for, and collections."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api_types import ApiError, ModelView, PullRequest
from catalog_core import Catalog, CatalogGcPolicy, DeleteRetired, ModelEntry
from catalog_core.testing import gguf_bytes, model_entry
from http_shell import ErrorMap
from model_keeper import CatalogKeeper, CountedProvisioner, GarbageCollector, Needs, Pulls
from model_provisioner import FetchSettings, NetworkPolicy
from model_provisioner.testing import ModelServer

CONTENT = gguf_bytes()
WRONG = f"sha256:{'0' * 64}"


def view(entry: ModelEntry) -> ModelView:
    return ModelView(model_id=entry.id, reference=entry.reference, state=entry.state)


class Disk:
    """All that concerns models on one machine, without pools."""

    def __init__(self, folder: Path, group: asyncio.TaskGroup) -> None:
        self.fetched_bytes = 0
        self.freed_bytes = 0
        self.changes = 0
        self.waiting: dict[str, int] = {}
        self.loading: dict[str, tuple[str, ...]] = {}
        self.ran = asyncio.Event()
        self.catalog = Catalog(folder / "catalog")
        self.provisioner = CountedProvisioner(
            self.catalog,
            base=folder / "models",
            now_ms=lambda: 7,
            fetch=FetchSettings(policy=NetworkPolicy.parse("allow"), keep_free_bytes=0),
            fetched=self.count,
        )
        self.needs = Needs(
            self.catalog,
            snapshots=tuple,
            preparing=self.provisioner.preparing,
            loading=lambda: self.loading,
            waiting=lambda model_id: self.waiting.get(model_id, 0),
        )
        self.pulls = Pulls(
            *("node", self.provisioner, group),
            errors=ErrorMap(),
            view=view,
            changed=self.change,
        )
        self.keeper = CatalogKeeper(
            "node", self.catalog, self.needs, view=view, changed=self.change, now_ms=lambda: 7
        )
        self.collector = GarbageCollector(
            "node",
            self.catalog,
            self.needs,
            CatalogGcPolicy(
                max_disk_usage_percent=100,
                min_free_gb=0,
                retention_rules=(DeleteRetired(after_days=0),),
            ),
            models_dir=folder / "models",
            changed=self.change,
            freed=self.free,
            now_ms=lambda: 8,
        )

    def count(self, fetched_bytes: int) -> None:
        self.fetched_bytes += fetched_bytes

    def free(self, freed_bytes: int) -> None:
        self.freed_bytes += freed_bytes
        self.ran.set()

    async def change(self) -> None:
        self.changes += 1

    async def pull(self, reference: str, digest: str | None = None) -> list[object]:
        request = PullRequest(reference=reference, digest=digest)
        return [item async for item in self.pulls.follow(request)]


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    async with asyncio.TaskGroup() as group:
        disk = Disk(tmp_path, group)
        yield disk
        disk.pulls.stop()


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer.running() as server:
        server.files["/tiny.gguf"] = CONTENT
        yield server


async def until_idle(disk: Disk) -> None:
    while any(pull.state == "running" for pull in disk.pulls.pulls()):
        await asyncio.sleep(0)


async def test_a_second_wish_joins_the_first_and_bytes_count_once(
    disk: Disk, server: ModelServer
) -> None:
    request = PullRequest(reference=f"{server.url}/tiny.gguf")
    await disk.pulls.start(request, "c")
    await disk.pulls.start(request, "c")
    assert len(disk.pulls.pulls()) == 1
    *_, model = await disk.pull(request.reference)
    assert isinstance(model, ModelView)
    await until_idle(disk)
    assert disk.pulls.pulls() == ()
    assert disk.fetched_bytes == len(CONTENT)
    assert len(server.bodies("/tiny.gguf")) == 1
    assert disk.changes == 2


async def test_a_failure_is_kept_until_the_next_try(disk: Disk, server: ModelServer) -> None:
    wrong = PullRequest(reference=f"{server.url}/tiny.gguf", digest=WRONG)
    await disk.pulls.start(wrong, "correlation")
    await until_idle(disk)
    (pull,) = disk.pulls.pulls()
    assert pull.error is not None
    assert (pull.state, pull.error.correlation_id) == ("failed", "correlation")
    assert (await disk.pulls.start(wrong, "again")).state == "running"


async def test_what_is_no_reference_is_refused_at_once(disk: Disk) -> None:
    with pytest.raises(ApiError, match="reference"):
        await disk.pulls.start(PullRequest(reference="gopher:tiny"), "c")


async def test_a_model_is_needed_while_tasks_wait_or_a_pool_changes(disk: Disk) -> None:
    disk.catalog.put(model_entry("old"))
    disk.catalog.put(model_entry("new"))
    disk.waiting["old"] = 3
    disk.loading["main"] = (disk.catalog.get("new").reference,)
    assert await asyncio.to_thread(disk.needs.asker()) == {
        "old": "3 tasks wait for it",
        "new": "pool main loads it or is set up for it",
    }
    for model_id in ("old", "new"):
        with pytest.raises(ApiError, match="is needed"):
            await disk.keeper.retire(model_id)
        with pytest.raises(ApiError, match="is needed"):
            await disk.keeper.purge(model_id)
    disk.waiting.clear()
    assert (await disk.keeper.retire("old")).state == "Retired"


async def test_a_collection_leaves_what_tasks_wait_for_and_takes_it_once_none_does(
    disk: Disk, server: ModelServer
) -> None:
    *_, model = await disk.pull(f"{server.url}/tiny.gguf")
    assert isinstance(model, ModelView)
    await disk.keeper.retire(model.model_id)
    disk.waiting[model.model_id] = 1
    (decision,) = (await disk.collector.plan()).decisions
    assert (decision.action, decision.explanation) == ("keep", "it is needed: 1 tasks wait for it")
    assert (await disk.collector.run()).freed_bytes == 0
    assert disk.catalog.get(model.model_id).path.exists()
    disk.waiting.clear()
    assert (await disk.collector.run()).freed_bytes >= len(CONTENT)


async def test_a_collection_comes_by_itself_and_counts_what_it_freed(
    disk: Disk, server: ModelServer
) -> None:
    *_, model = await disk.pull(f"{server.url}/tiny.gguf")
    assert isinstance(model, ModelView)
    await disk.keeper.retire(model.model_id)
    (decision,) = (await disk.collector.plan()).decisions
    assert (decision.action, decision.reason) == ("delete", "retired_long")
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(disk.collector.run_every(1))
        await disk.ran.wait()
        loop.cancel()
    assert disk.freed_bytes >= len(CONTENT)
    assert disk.catalog.list() == ()
