import asyncio
import gc
from collections.abc import Iterator

import pytest

from http_shell import run


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
