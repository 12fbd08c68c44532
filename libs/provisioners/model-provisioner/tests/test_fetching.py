"""Downloads from a real server that breaks off, changes its files and runs out of patience."""

import asyncio
import re
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from random import Random

import pytest

from api_types import ErrorCode, PreparationStep
from catalog_core import (
    Catalog,
    DigestMismatchError,
    ModelEntry,
    ModelFileError,
    ModelState,
    file_digest,
)
from catalog_core.testing import gguf_bytes
from model_provisioner import (
    DiskFullError,
    ModelProvisioner,
    SourceError,
    SourceMissingError,
    StoreError,
)
from model_provisioner.testing import ModelServer

MakeProvisioner = Callable[..., ModelProvisioner]
PATH = "/models/Tiny_Model.gguf"
LOST_BYTES = 200_000
"""What the client's own buffers may hold when a connection is cut."""


@pytest.fixture
def url(server: ModelServer, weights: bytes) -> str:
    server.files[PATH] = weights
    return server.url + PATH


def starts(wanted: str | None) -> int:
    """Where a Range header begins."""
    return int((wanted or "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def leftovers(store: Path) -> list[str]:
    """What lies in the folder of partial files besides locks."""
    return sorted(path.name for path in (store / ".partial").rglob("*") if path.suffix != ".lock")


async def test_a_file_is_fetched_and_entered_with_its_facts(
    make: MakeProvisioner, catalog: Catalog, store: Path, url: str, weights: bytes
) -> None:
    entry = await make().ensure(url)
    assert catalog.list() == (entry,)
    assert (entry.id, entry.reference, entry.size_bytes) == ("tiny_model", url, len(weights))
    assert entry.path.read_bytes() == weights
    assert entry.digest == file_digest(entry.path)
    assert entry.store_path == entry.path.parent
    assert entry.store_path.parent == store
    assert leftovers(store) == []


async def test_what_is_here_already_is_not_asked_for_again(
    make: MakeProvisioner, catalog: Catalog, server: ModelServer, url: str
) -> None:
    provisioner = make()
    entry = await provisioner.ensure(url)
    catalog.retire(entry.id)
    asked = len(server.requests)
    for reference in (url, entry.id, entry.digest):
        assert await provisioner.ensure(reference) == entry
    assert entry.state is ModelState.ACTIVE
    assert len(server.requests) == asked


@pytest.mark.parametrize("cuts", [[0], [1], [100_000, 1], [5_000_000], [3_000_000] * 3])
async def test_a_cut_connection_is_gone_on_with_where_it_broke(
    make: MakeProvisioner, server: ModelServer, url: str, weights: bytes, cuts: list[int]
) -> None:
    server.faults.cuts = list(cuts)
    entry = await make().ensure(url)
    assert entry.path.read_bytes() == weights
    ranges = [starts(each) for each in server.bodies(PATH)]
    assert (len(ranges), ranges) == (len(cuts) + 1, sorted(ranges))
    assert sum(cuts) - len(cuts) * LOST_BYTES <= ranges[-1] <= sum(cuts)


async def test_a_server_without_ranges_is_asked_from_the_start(
    make: MakeProvisioner, server: ModelServer, url: str, weights: bytes
) -> None:
    server.faults.cuts = [3_000_000]
    server.faults.has_ranges = False
    assert (await make().ensure(url)).path.read_bytes() == weights


async def test_without_etag_a_file_is_asked_from_the_start(
    make: MakeProvisioner, server: ModelServer, url: str, weights: bytes
) -> None:
    server.faults.cuts = [3_000_000]
    server.faults.has_etags = False
    assert (await make().ensure(url)).path.read_bytes() == weights
    assert server.bodies(PATH) == [None, None]


@pytest.mark.parametrize("ignores_if_range", [False, True])
async def test_halves_of_two_versions_are_never_joined(
    make: MakeProvisioner,
    server: ModelServer,
    url: str,
    weights: bytes,
    ignores_if_range: bool,
) -> None:
    server.faults.cuts = [3_000_000]
    server.faults.ignores_if_range = ignores_if_range
    newer = weights[:-1] + b"!"

    async def replace(_: str) -> None:
        if len(server.bodies(PATH)) == 1:
            server.files[PATH] = newer

    server.faults.before_body = replace
    assert (await make().ensure(url)).path.read_bytes() == newer


async def test_a_body_of_unknown_length_is_fetched(
    make: MakeProvisioner, server: ModelServer, url: str, weights: bytes
) -> None:
    server.faults.has_lengths = False
    server.faults.cuts = [3_000_000]
    assert (await make().ensure(url)).path.read_bytes() == weights


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_goes_wrong_the_file_is_the_servers(
    make: MakeProvisioner, server: ModelServer, url: str, weights: bytes, seed: int
) -> None:
    chance = Random(seed)
    faults = server.faults
    faults.has_ranges, faults.has_etags, faults.has_lengths, faults.ignores_if_range = (
        chance.random() < 0.7 for _ in range(4)
    )
    faults.cuts = [chance.randrange(len(weights)) for _ in range(chance.randrange(5))]
    faults.statuses = [(chance.choice([429, 500, 503]), {}) for _ in range(chance.randrange(3))]
    latest = weights

    async def sometimes_replace(_: str) -> None:
        nonlocal latest
        if faults.has_etags and chance.random() < 0.3:
            latest = weights[:-1] + bytes([chance.randrange(256)])
            server.files[PATH] = latest

    faults.before_body = sometimes_replace
    entry = await make(attempts=20).ensure(url)
    found = entry.path.read_bytes()
    assert found[:-1] == weights[:-1]
    assert entry.digest == file_digest(entry.path)
    if not faults.has_etags:
        assert found == weights


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_asks_to_come_later_is_asked_later(
    make: MakeProvisioner, server: ModelServer, url: str, status: int
) -> None:
    server.faults.statuses = [(status, {"Retry-After": "0"}), (status, {})]
    assert (await make().ensure(url)).id == "tiny_model"


async def test_patience_ends_and_says_when_to_come_again(
    make: MakeProvisioner, server: ModelServer, url: str
) -> None:
    server.faults.statuses = [(503, {"Retry-After": "3600"})]
    with pytest.raises(SourceError) as caught:
        await make().ensure(url)
    assert (caught.value.code, caught.value.retriable) == (ErrorCode.MODEL_NOT_AVAILABLE, True)
    assert caught.value.retry_after_ms == 3_600_000


async def test_a_server_that_always_breaks_at_the_same_place_is_given_up(
    make: MakeProvisioner, server: ModelServer, url: str
) -> None:
    server.faults.has_ranges = False
    server.faults.cuts = [3_000_000] * 20
    with pytest.raises(SourceError, match="broke off"):
        await make(attempts=3).ensure(url)
    assert len(server.bodies(PATH)) < 10


async def test_nobody_who_answers_is_told_with_the_place(make: MakeProvisioner) -> None:
    with pytest.raises(SourceError, match=re.escape("127.0.0.1:1")) as caught:
        await make(attempts=2).ensure("http://127.0.0.1:1/m.gguf?signature=secret")
    assert caught.value.retriable
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, ErrorCode.MODEL_NOT_FOUND, SourceMissingError),
        (401, ErrorCode.INVALID_PARAMS, SourceError),
        (418, ErrorCode.INVALID_PARAMS, SourceError),
    ],
)
async def test_a_refusal_is_not_tried_again(
    make: MakeProvisioner,
    server: ModelServer,
    url: str,
    status: int,
    code: ErrorCode,
    kind: type[Exception],
) -> None:
    server.faults.statuses = [(status, {})]
    with pytest.raises(kind) as caught:
        await make().ensure(url)
    assert caught.value.code is code  # type: ignore[attr-defined]
    assert len(server.requests) == 1


async def test_a_silent_server_is_left_after_the_idle_time(
    make: MakeProvisioner, server: ModelServer, url: str
) -> None:
    gate = asyncio.Event()
    calls = 0

    async def hang_once(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await gate.wait()

    server.faults.before_body = hang_once
    entry = await make(idle_timeout_s=0.2).ensure(url)
    gate.set()
    assert (entry.id, calls) == ("tiny_model", 2)


async def test_a_wrong_digest_is_refused_before_an_entry_is_made(
    make: MakeProvisioner, catalog: Catalog, store: Path, url: str
) -> None:
    with pytest.raises(DigestMismatchError):
        await make().ensure(url, expected_digest="0" * 64)
    assert catalog.list() == ()
    assert list(store.rglob("*.gguf*")) == []


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", gguf_bytes()[:-1]])
async def test_what_is_no_whole_model_is_refused_and_leaves_nothing(
    make: MakeProvisioner,
    catalog: Catalog,
    store: Path,
    server: ModelServer,
    url: str,
    content: bytes,
) -> None:
    server.files[PATH] = content
    with pytest.raises(ModelFileError):
        await make().ensure(url)
    assert catalog.list() == ()
    assert list(store.rglob("*.gguf*")) == []


async def test_a_full_disk_is_told_with_its_numbers_before_the_first_byte(
    make: MakeProvisioner, store: Path, url: str, weights: bytes
) -> None:
    free = len(weights) + 99
    with pytest.raises(DiskFullError) as caught:
        await make(free_bytes=lambda path: free, keep_free_bytes=100).ensure(url)
    error = caught.value
    assert error.code is ErrorCode.DISK_FULL
    assert (error.needed_bytes, error.free_bytes, error.keep_bytes) == (len(weights), free, 100)
    assert "1 are missing" in error.message
    assert sum(path.stat().st_size for path in store.rglob("*.part")) == 0


async def test_a_folder_that_cannot_be_used_is_told(
    make: MakeProvisioner, store: Path, url: str
) -> None:
    store.write_bytes(b"a file where the folder should be")
    with pytest.raises(StoreError, match="cannot be kept in"):
        await make().ensure(url)


async def test_progress_tells_bytes_rate_and_time_left(
    make: MakeProvisioner, server: ModelServer, url: str, weights: bytes
) -> None:
    server.faults.cuts = [3_000_000]
    steps: list[PreparationStep] = []
    await make(first_pause_s=0.3).ensure(url, on_progress=steps.append)
    assert [step.status for step in steps] == ["running"] * (len(steps) - 1) + ["done"]
    assert steps[-1].bytes_done == steps[-1].bytes_total == len(weights)
    midway = [step for step in steps if step.bytes_done and step.bytes_done < len(weights)]
    assert any(step.bytes_per_s and step.estimated_ms is not None for step in midway)


async def test_two_callers_share_one_download(
    make: MakeProvisioner, server: ModelServer, url: str
) -> None:
    provisioner = make()
    one, two = await asyncio.gather(provisioner.ensure(url), provisioner.ensure(url))
    assert one == two
    assert len(server.bodies(PATH)) == 1


async def test_two_provisioners_as_in_two_processes_share_one_download(
    make: MakeProvisioner, server: ModelServer, url: str
) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    async def wait_for_the_other(_: str) -> None:
        entered.set()
        await gate.wait()

    server.faults.before_body = wait_for_the_other
    async with asyncio.TaskGroup() as group:
        one = group.create_task(make().ensure(url))
        await entered.wait()
        waiting = asyncio.Event()
        two = group.create_task(make().ensure(url, on_progress=lambda step: waiting.set()))
        await waiting.wait()
        gate.set()
    assert one.result() == two.result()
    assert len(server.bodies(PATH)) == 1


async def test_a_cancel_leaves_a_partial_that_is_gone_on_with(
    make: MakeProvisioner, catalog: Catalog, store: Path, server: ModelServer, url: str
) -> None:
    server.faults.cuts = [5_000_000]
    halfway = asyncio.Event()

    async def stop_the_second(_: str) -> None:
        if len(server.bodies(PATH)) == 2:
            halfway.set()
            await asyncio.Event().wait()

    server.faults.before_body = stop_the_second
    task = asyncio.get_running_loop().create_task(make().ensure(url))
    await halfway.wait()
    task.cancel()
    await asyncio.wait((task,))
    (part,) = store.rglob("*.part")
    arrived = part.stat().st_size
    assert 5_000_000 - LOST_BYTES <= arrived <= 5_000_000
    assert catalog.list() == ()
    server.faults.before_body = None
    entry = await make().ensure(url)
    assert server.bodies(PATH)[-1] == f"bytes={arrived - 1}-"
    assert entry.digest == file_digest(entry.path)
    assert leftovers(store) == []


async def test_partials_that_nobody_went_on_with_are_discarded_but_no_others(
    make: MakeProvisioner, catalog: Catalog, store: Path, server: ModelServer, url: str
) -> None:
    server.faults.cuts = [5_000_000]
    with pytest.raises(SourceError):
        await make(attempts=1).ensure(url)
    (part,) = store.rglob("*.part")
    arrived = part.stat().st_size

    def an_hour_later() -> int:
        return round(part.stat().st_mtime * 1000) + 3_600_000

    provisioner = ModelProvisioner(catalog, base=store, now_ms=an_hour_later)
    assert await provisioner.discard_partials(idle_s=3700) == 0
    assert await provisioner.discard_partials(idle_s=3500) > arrived
    assert leftovers(store) == []


async def test_a_fetched_file_that_was_damaged_is_fetched_again(
    make: MakeProvisioner, catalog: Catalog, url: str, weights: bytes
) -> None:
    entry = await make().ensure(url)
    catalog.pin(entry.id)
    entry.path.write_bytes(b"damaged")
    again = await make().ensure(entry.id)
    assert again.path.read_bytes() == weights
    assert (again.id, again.pinned, len(catalog.list())) == (entry.id, True, 1)


async def test_a_folder_whose_entry_was_lost_is_entered_again_without_a_download(
    make: MakeProvisioner, catalog: Catalog, server: ModelServer, url: str
) -> None:
    entry = await make().ensure(url)
    catalog.delete(entry.id)
    assert await make().ensure(url) == entry
    assert len(server.bodies(PATH)) == 1


async def test_a_split_model_is_one_entry_of_several_files(
    make: MakeProvisioner, catalog: Catalog, server: ModelServer
) -> None:
    for number in range(3):
        split = {"split.no": number, "split.count": 3, "split.tensors.count": 3}
        first = {"general.architecture": "llama", "llama.context_length": 8}
        server.files[f"/big-0000{number + 1}-of-00003.gguf"] = gguf_bytes(
            split | first if number == 0 else split, {f"t{number}": (8,)}
        )
    server.faults.cuts = [200, 100]
    entry = await make().ensure(f"{server.url}/big-00002-of-00003.gguf")
    assert (entry.id, entry.path.name) == ("big", "big-00001-of-00003.gguf")
    assert (entry.header.tensor_count, entry.header.context_length) == (3, 8)
    assert len(entry.files) == 3
    assert catalog.verify(entry.id, now_ms=5).verdict == "intact"
    by_path = await make().ensure(f"file:{entry.path}")
    assert (by_path.reference, by_path.store_path) == (entry.reference, entry.store_path)
    entry.files[2].path.write_bytes(b"x")
    assert catalog.verify(entry.id).bad_paths == (entry.files[2].path,)


async def test_parts_of_two_versions_are_never_put_together(
    make: MakeProvisioner, catalog: Catalog, server: ModelServer
) -> None:
    def publish(name: str) -> None:
        for number in range(2):
            split = {"split.no": number, "split.count": 2, "general.architecture": name}
            server.files[f"/big-0000{number + 1}-of-00002.gguf"] = gguf_bytes(split)

    publish("older")
    url = f"{server.url}/big-00001-of-00002.gguf"
    missing = server.files.pop("/big-00002-of-00002.gguf")
    with pytest.raises(SourceMissingError):
        await make().ensure(url)
    publish("newer")
    assert len(server.files["/big-00002-of-00002.gguf"]) == len(missing)
    entry = await make().ensure(url)
    assert all(b"newer" in file.path.read_bytes() for file in entry.files)


async def test_a_part_that_arrived_is_not_fetched_again_if_it_is_still_the_same(
    make: MakeProvisioner, server: ModelServer
) -> None:
    parts = [f"/big-0000{number}-of-00002.gguf" for number in (1, 2)]
    for number, part in enumerate(parts):
        split = {"split.no": number, "split.count": 2, "general.architecture": "llama"}
        server.files[part] = gguf_bytes(split)
    second = server.files.pop(parts[1])
    with pytest.raises(SourceMissingError):
        await make().ensure(server.url + parts[0])
    server.files[parts[1]] = second
    entry = await make().ensure(server.url + parts[0])
    assert entry.files[0].path.read_bytes() == server.files[parts[0]]
    assert server.bodies(parts[0]) == [None, f"bytes={len(second) - 1}-"]


async def test_pull_yields_the_steps_and_then_the_entry(make: MakeProvisioner, url: str) -> None:
    async with aclosing(make().pull(url)) as updates:
        found = [update async for update in updates]
    assert isinstance(found[-1], ModelEntry)
    assert all(isinstance(update, PreparationStep) for update in found[:-1])
    assert len(found) > 1


async def test_pull_that_is_left_early_cancels_the_work(
    make: MakeProvisioner, catalog: Catalog, server: ModelServer, url: str
) -> None:
    server.faults.cuts = [100_000] * 30
    provisioner = make()
    async with aclosing(provisioner.pull(url)) as updates:
        async for _ in updates:
            assert provisioner.preparing() == {url}
            break
    assert (catalog.list(), provisioner.preparing()) == ((), frozenset())
