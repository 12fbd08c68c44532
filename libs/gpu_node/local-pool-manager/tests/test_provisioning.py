"""What is shown of a pool while something is made for its engine, which may take minutes."""

import asyncio

from local_pool_manager.testing import FixedModels, small_pool, until, until_ready


async def test_a_pool_tells_what_is_fetched_for_its_engine_and_why_that_failed(pools, models):
    asked, answered = asyncio.Event(), asyncio.Event()

    async def source(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await answered.wait()
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(source, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/llama-server"
        provisioning = {"mode": "binary", "url": url, "sha256": "0" * 64}
        pool = small_pool(provisioning=provisioning)
        async with pools(pool, models=FixedModels(models)) as manager:
            await asked.wait()
            change = manager.snapshot("demo").change
            assert (change.phase, change.detail) == (
                "provisioning",
                f"its engine is fetched from {url}",
            )
            answered.set()
            failed = await until(manager, "demo", lambda now: now.last_error is not None)
            assert failed.change is None
            assert "cannot be fetched" in failed.last_error


async def test_a_pool_that_is_told_to_rest_meanwhile_has_nothing_made_any_more(pools, models):
    asked = asyncio.Event()

    async def source(reader, writer):
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(source, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/llama-server"
        pool = small_pool(provisioning={"mode": "binary", "url": url, "sha256": "0" * 64})
        async with pools(pool, models=FixedModels(models)) as manager:
            await asked.wait()
            assert manager.snapshot("demo").change.phase == "provisioning"
            await manager.rest("demo", drain_ms=0)
            assert manager.snapshot("demo").change is None


async def test_a_reload_to_an_engine_that_is_there_tells_of_nothing_to_make(pools, models):
    async with pools(small_pool(), models=FixedModels(models)) as manager:
        await until_ready(manager)
        phases = set()
        manager.subscribe(lambda pool_id: phases.add(_phase(manager, pool_id)))
        await manager.reload("demo", "other")
        assert "provisioning" not in phases
        assert "planning" in phases


def _phase(manager, pool_id):
    change = manager.snapshot(pool_id).change
    return change and change.phase
