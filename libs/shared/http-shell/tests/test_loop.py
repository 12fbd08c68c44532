import asyncio
import gc
from collections.abc import Iterator

import pytest

from http_shell import run
from http_shell.loop import MIDDLE_LOOK_EVERY


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_a_daemon_runs_to_its_end_and_its_result_is_returned(collector: None) -> None:
    async def main() -> str:
        await asyncio.sleep(0)
        return "done"

    assert run(main()) == "done"


def test_what_was_imported_is_no_longer_looked_through_for_garbage(collector: None) -> None:
    async def main() -> int:
        return gc.get_freeze_count()

    assert run(main()) > 1_000


def test_garbage_is_looked_for_by_the_clock_the_young_more_often(collector: None) -> None:
    looks: list[int] = []

    async def main() -> None:
        def note(phase: str, about: dict[str, int]) -> None:
            if phase == "start":
                looks.append(about["generation"])
                if looks[-MIDDLE_LOOK_EVERY:] == [0] * (MIDDLE_LOOK_EVERY - 1) + [1]:
                    seen.set()

        seen = asyncio.Event()
        gc.set_threshold(0)  # None by Python's own count.
        gc.callbacks.append(note)
        try:
            await asyncio.wait_for(seen.wait(), 20)
        finally:
            gc.callbacks.remove(note)

    run(main())
    assert 2 not in looks
