import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from handoff_watcher import (
    HandoffAppeared,
    HandoffChanged,
    HandoffEvent,
    HandoffMalformed,
    HandoffPayload,
    HandoffVanished,
    HandoffWatcher,
    WatchSettings,
    WatchTrouble,
)

MakePayload = Callable[..., HandoffPayload]
BY_EVENTS_S = 1.0
ALWAYS_S = 2.0


class Listener:
    def __init__(self) -> None:
        self._events: asyncio.Queue[HandoffEvent] = asyncio.Queue()

    async def __call__(self, event: HandoffEvent) -> None:
        self._events.put_nowait(event)

    async def next(self, within_s: float = ALWAYS_S) -> HandoffEvent:
        return await asyncio.wait_for(self._events.get(), within_s)

    def told(self) -> list[HandoffEvent]:
        return [self._events.get_nowait() for _ in range(self._events.qsize())]


def write(path: Path, payload: HandoffPayload) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(payload.model_dump_json(by_alias=True))
    temporary.replace(path)


@asynccontextmanager
async def watching(
    folder: Path, *, auto_delete: bool = False, interval_ms: int = 1000
) -> AsyncIterator[tuple[HandoffWatcher, Listener]]:
    listener = Listener()
    settings = WatchSettings(folder, interval_ms=interval_ms, auto_delete=auto_delete)
    async with HandoffWatcher.running(settings, listener) as watcher:
        yield watcher, listener


async def test_what_is_there_at_the_start_has_been_told_on_entry(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    write(tmp_path / "a.json", make_payload())
    async with watching(tmp_path) as (watcher, listener):
        assert listener.told() == [HandoffAppeared(make_payload(), "a.json")]
        assert dict(watcher.handoffs) == {("default", "r0"): make_payload()}


async def test_a_file_is_seen_within_a_second_when_it_comes_changes_and_goes(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    async with watching(tmp_path) as (_, listener):
        write(tmp_path / "a.json", make_payload())
        assert isinstance(await listener.next(BY_EVENTS_S), HandoffAppeared)
        write(tmp_path / "a.json", make_payload(slots=1))
        assert isinstance(await listener.next(BY_EVENTS_S), HandoffChanged)
        (tmp_path / "a.json").unlink()
        assert isinstance(await listener.next(BY_EVENTS_S), HandoffVanished)


async def test_file_events_are_faster_than_scanning(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    async with watching(tmp_path, interval_ms=60_000) as (_, listener):
        write(tmp_path / "first.json", make_payload())
        await listener.next()
        write(tmp_path / "second.json", make_payload(replica_id="r1"))
        assert isinstance(await listener.next(0.5), HandoffAppeared)


async def test_a_folder_that_is_made_later_or_anew_is_watched(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    folder = tmp_path / "engines"
    async with watching(folder) as (_, listener):
        for _ in range(2):
            folder.mkdir()
            write(folder / "a.json", make_payload())
            assert isinstance(await listener.next(), HandoffAppeared)
            shutil.rmtree(folder)
            assert isinstance(await listener.next(), HandoffVanished)
    assert listener.told() == []


async def test_a_folder_replaced_under_our_eyes_loses_no_file(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    async with watching(folder) as (_, listener):
        folder.rename(tmp_path / "old")
        folder.mkdir()
        write(folder / "a.json", make_payload())
        assert isinstance(await listener.next(), HandoffAppeared)


async def test_a_half_written_file_is_told_once_and_picked_up_when_it_is_whole(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    whole = make_payload().model_dump_json(by_alias=True)
    async with watching(tmp_path) as (watcher, listener):
        (tmp_path / "a.json").write_text(whole[:40])
        assert isinstance(await listener.next(), HandoffMalformed)
        (tmp_path / "a.json").write_text(whole[:60])
        await watcher.rescan()
        assert listener.told() == []
        (tmp_path / "a.json").write_text(whole)
        assert isinstance(await listener.next(), HandoffAppeared)


async def test_auto_delete_adopts_files_and_only_a_removal_by_others_counts(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    write(tmp_path / "a.json", make_payload())
    async with watching(tmp_path, auto_delete=True) as (watcher, listener):
        assert isinstance(await listener.next(), HandoffAppeared)
        assert [path.name for path in tmp_path.rglob("*.json")] == ["default~r0.json"]
        await watcher.rescan()
        assert listener.told() == []
    async with watching(tmp_path, auto_delete=True) as (watcher, listener):
        assert isinstance(await listener.next(), HandoffAppeared)
        write(tmp_path / "a.json", make_payload(slots=1))
        await watcher.rescan()
        assert isinstance(await listener.next(), HandoffChanged)
        (tmp_path / "adopted/default~r0.json").unlink()
        assert isinstance(await listener.next(), HandoffVanished)


async def test_many_files_are_all_told_and_then_cost_no_reading(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    async with watching(tmp_path) as (watcher, listener):
        for number in range(500):
            write(tmp_path / f"{number}.json", make_payload(replica_id=f"r{number}"))
        seen = {(await listener.next()).file for _ in range(500)}  # type: ignore[union-attr]
        assert len(seen) == 500
        assert len(watcher.handoffs) == 500


async def test_a_folder_that_cannot_be_read_changes_nothing_and_is_told_once(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    write(folder / "a.json", make_payload())
    async with watching(folder) as (watcher, listener):
        listener.told()
        folder.rename(tmp_path / "aside")
        folder.write_text("a file in the place of the folder")
        await watcher.rescan()
        await watcher.rescan()
        troubles = [event for event in listener.told() if "cannot be read" in str(event)]
        assert len(troubles) == 1
        assert isinstance(troubles[0], WatchTrouble)
        assert watcher.handoffs
        folder.unlink()
        (tmp_path / "aside").rename(folder)
        await watcher.rescan()
        assert not [event for event in listener.told() if not isinstance(event, WatchTrouble)]


async def test_a_rescan_that_is_cancelled_loses_no_event(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    entered, release = asyncio.Event(), asyncio.Event()
    handled: list[HandoffEvent] = []

    async def slow(event: HandoffEvent) -> None:
        entered.set()
        await release.wait()
        handled.append(event)

    async with HandoffWatcher.running(WatchSettings(tmp_path), slow) as watcher:
        write(tmp_path / "a.json", make_payload())
        rescan = asyncio.create_task(watcher.rescan())
        await asyncio.wait_for(entered.wait(), ALWAYS_S)
        rescan.cancel()
        await asyncio.wait({rescan})
        release.set()
        await watcher.rescan()
    assert handled == [HandoffAppeared(make_payload(), "a.json")]


async def test_a_listener_that_raises_ends_the_watcher_loudly(
    tmp_path: Path, make_payload: MakePayload
) -> None:
    async def fail(_event: HandoffEvent) -> None:
        raise RuntimeError("the pool manager is broken")

    async def watch() -> None:
        async with HandoffWatcher.running(WatchSettings(tmp_path, interval_ms=50), fail):
            write(tmp_path / "a.json", make_payload())
            await asyncio.wait_for(asyncio.Event().wait(), ALWAYS_S)

    with pytest.raises(ExceptionGroup) as caught:
        await watch()
    assert caught.group_contains(RuntimeError, match="pool manager is broken")
