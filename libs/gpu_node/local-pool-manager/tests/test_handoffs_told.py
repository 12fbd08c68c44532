"""What becomes of handoff files is told."""

import asyncio
from pathlib import Path

from local_pool_manager.testing import small_pool, until_ready


async def test_each_handoff_file_is_told_with_its_pool_and_what_became_of_it(
    pools, tmp_path: Path
) -> None:
    told: asyncio.Queue[tuple[str, str, float | None]] = asyncio.Queue()

    def note(pool_id: str, outcome: str, took_ms: float | None) -> None:
        told.put_nowait((pool_id, outcome, took_ms))

    async with asyncio.timeout(30), pools(small_pool(), on_handoff=note) as manager:
        await until_ready(manager)
        pool_id, outcome, took_ms = await told.get()
        assert (pool_id, outcome) == ("demo", "appeared")
        assert took_ms is not None
        assert 0 <= took_ms < 30_000
        (tmp_path / "broken.json").write_text("{")
        while outcome != "malformed":
            pool_id, outcome, took_ms = await told.get()
        assert (pool_id, took_ms) == ("none", None)
