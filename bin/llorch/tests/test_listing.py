import asyncio
import json
import os
import pty
import signal

from orchestrator_client.testing import HOLD, FakeOrchestratord, started

from .conftest import Llorch, Start

POOL = {
    "pool_id": "default",
    "live": True,
    "ready": True,
    "draining": False,
    "slots_total": 4,
    "slots_free": 3,
    "active_leases": 1,
    "vram_total_bytes": 25769803776,
    "vram_free_bytes": 12884901888,
    "engine": "llamacpp",
    "engine_version": "b1",
    "model_id": "tiny",
    "state": "ready",
}
MODEL = {
    "model_id": "tiny",
    "reference": "file:tiny.gguf",
    "state": "Active",
    "size_bytes": 3_500_000,
    "ctx_max": 2048,
    "served_by": ["default"],
}


async def test_pools_are_a_table(fake: FakeOrchestratord, llorch: Llorch) -> None:
    fake.documents["/v2/pools"] = {"pools": [POOL, POOL | {"pool_id": "b", "last_error": "a\nb"}]}
    heading, first, second = (await llorch("pools")).out.splitlines()
    assert heading.split() == ["POOL", "STATE", "MODEL", "ENGINE", "BUSY", "VRAM", "LAST", "ERROR"]
    assert first == "default  ready  tiny   llamacpp b1  1/4   12.0 GiB of 24.0 GiB  -"
    assert second.endswith("a b")


async def test_models_are_a_table_or_json(fake: FakeOrchestratord, llorch: Llorch) -> None:
    fake.documents["/v2/catalog/models"] = {"models": [MODEL]}
    assert (await llorch("models")).out.splitlines()[1].split() == (
        ["tiny", "Active", "3.3", "MiB", "2048", "-", "default"]
    )
    assert json.loads((await llorch("models", "--json")).out)["models"][0]["model_id"] == "tiny"


async def test_tasks_are_listed_shown_and_canceled(
    fake: FakeOrchestratord, llorch: Llorch, start: Start
) -> None:
    fake.script = (started(), HOLD)
    child = await start("run", "hi")
    await fake.holding.wait()
    (task_id,) = fake.tasks
    listed = (await llorch("tasks", "list", "--state", "running")).out.splitlines()
    assert listed[1].split()[:3] == [str(task_id), "running", "interactive"]
    assert json.loads((await llorch("tasks", "show", str(task_id))).out)["state"] == "running"
    assert (await llorch("tasks", "cancel", str(task_id))).code == 0
    assert await child.wait() == 1


async def test_top_prints_one_picture_when_piped(
    fake: FakeOrchestratord, llorch: Llorch, start: Start
) -> None:
    fake.documents["/v2/pools"] = {"pools": [POOL]}
    fake.script = (started(), HOLD)
    await start("run", "hi")
    await fake.holding.wait()
    picture = (await llorch("top")).out.splitlines()
    assert picture[0] == "1 running"
    assert [line.split()[0] for line in picture[2:4]] == ["POOL", "default"]
    assert picture[5].startswith("TASK")


async def test_top_gives_the_terminal_back_on_an_interrupt(
    fake: FakeOrchestratord, start: Start
) -> None:
    fake.documents["/v2/pools"] = {"pools": [POOL]}
    terminal, child_side = pty.openpty()
    child = await start("top", "--interval", "60", stdout=child_side)
    os.close(child_side)
    shown = b""
    while b"no task waits or runs" not in shown:
        shown += await asyncio.to_thread(os.read, terminal, 65536)
    child.send_signal(signal.SIGINT)
    _, err = await child.communicate()
    assert (child.returncode, err) == (0, b"")
    assert os.read(terminal, 65536).endswith(b"\x1b[?1049l")
    os.close(terminal)


async def test_version_names_both_ends(fake: FakeOrchestratord, llorch: Llorch) -> None:
    fake.documents["/v2/meta/version"] = {
        "service": "orchestratord",
        "version": "0.1.0",
        "api_version": "2",
        "python": "3.11.7",
    }
    assert (await llorch("version")).out == (
        "llorch 0.1.0\norchestratord 0.1.0 (API 2, Python 3.11.7)\n"
    )


async def test_a_reader_that_wants_no_more_is_no_error(
    fake: FakeOrchestratord, start: Start
) -> None:
    fake.documents["/v2/pools"] = {"pools": [POOL]}
    reader, child_side = os.pipe()
    os.close(reader)
    child = await start("pools", stdout=child_side)
    os.close(child_side)
    _, err = await child.communicate()
    assert (child.returncode, err) == (141, b"")
