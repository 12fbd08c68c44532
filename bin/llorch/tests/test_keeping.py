import asyncio
import json
import os
import pty
from typing import Any

from orchestrator_client.testing import FakeOrchestratord, Refusal

from .conftest import Llorch, Start
from .test_listing import MODEL, POOL

STEP = {
    "id": "fetch_model:tiny",
    "kind": "fetch_model",
    "description": "Fetch tiny",
    "status": "running",
    "bytes_total": 4096,
    "bytes_done": 1024,
    "bytes_per_s": 1024,
    "estimated_ms": 3000,
}
DONE = STEP | {"status": "done", "bytes_done": 4096}
PLAN = {
    "decisions": [
        {
            "model_id": "old",
            "action": "delete",
            "reason": "retired_long",
            "explanation": "it was retired 9 days ago",
            "size_bytes": 4096,
            "freed_bytes": 4096,
        }
    ],
    "disk_total_bytes": 1024**3,
    "disk_free_bytes": 1024**2,
    "wanted_free_bytes": 1024**2,
    "freed_bytes": 4096,
    "shortfall_bytes": 0,
}


def replica(generation: int) -> dict[str, Any]:
    return {
        "replica_id": "r0",
        "generation": generation,
        "health": {"state": "ready", "live": True, "ready": True},
        "model_id": "tiny",
        "slots_total": 4,
        "slots_free": 4,
        "active_leases": 0,
    }


async def test_a_pull_tells_lines_and_at_last_the_model(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    fake.pull = [("progress", STEP), ("progress", DONE), ("model", MODEL)]
    outcome = await llorch("pull", "https://models.example/tiny.gguf")
    assert (outcome.code, outcome.out) == (0, "tiny\n")
    first, last = outcome.err.splitlines()
    assert "25 % · of 4.0 KiB · 1.0 KiB/s · 3.0 s left" in first
    assert last.endswith("100 % · of 4.0 KiB · done")
    assert json.loads(fake.requests[-1].body) == {
        "reference": "https://models.example/tiny.gguf",
        "digest": None,
    }


async def test_a_pull_draws_a_bar_on_a_terminal(fake: FakeOrchestratord, start: Start) -> None:
    fake.pull = [("progress", STEP), ("model", MODEL)]
    terminal, child_side = pty.openpty()
    child = await start("pull", "file:tiny.gguf", stderr=child_side)
    os.close(child_side)
    shown = b""
    while b"25 %" not in shown:
        shown += await asyncio.to_thread(os.read, terminal, 65536)
    out, _ = await child.communicate()
    os.close(terminal)
    assert b"[#######-" in shown
    assert out == b"tiny\n"


async def test_a_pull_that_fails_on_the_way_says_why(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    told = {"code": "DISK_FULL", "message": "no room", "retriable": False, "correlation_id": "c"}
    fake.pull = [("progress", STEP), ("error", told)]
    outcome = await llorch("pull", "https://models.example/tiny.gguf")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "llorch: DISK_FULL: no room"


async def test_models_are_pinned_unpinned_retired_and_verified(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    at = "/v2/catalog/models/tiny"
    fake.documents[f"{at}/pin"] = MODEL | {"pinned": True}
    assert (await llorch("models", "pin", "tiny")).out == "tiny is pinned\n"
    assert (await llorch("models", "unpin", "tiny")).code == 0
    assert json.loads(fake.requests[-1].body) == {"pinned": False}
    fake.documents[at] = MODEL | {"state": "Retired"}
    assert (await llorch("models", "retire", "tiny")).out == "tiny is Retired\n"
    assert fake.requests[-1].method == "DELETE"
    found = {"model_id": "tiny", "verdict": "changed", "expected": "x", "bad_files": ["tiny.gguf"]}
    fake.documents[f"{at}/verify"] = found
    outcome = await llorch("models", "verify", "tiny")
    assert (outcome.code, outcome.out) == (1, "tiny is changed: tiny.gguf\n")


async def test_options_count_on_either_side_of_an_action(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    fake.documents["/v2/catalog/models/tiny/pin"] = MODEL | {"pinned": True}
    assert json.loads((await llorch("models", "--json", "pin", "tiny")).out)["pinned"]
    assert json.loads((await llorch("models", "pin", "tiny", "--json")).out)["pinned"]
    nowhere = ("--url", "http://127.0.0.1:9")
    assert (await llorch("models", *nowhere, "pin", "tiny")).code == 3
    assert (await llorch("models", "pin", "tiny", *nowhere)).code == 3


async def test_states_and_what_is_on_its_way_are_in_the_table(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    fake.documents["/v2/catalog/models"] = {
        "models": [MODEL | {"pinned": True}],
        "pulls": [{"reference": "hf:org/next", "state": "running", "step": STEP}],
    }
    _, model, pull = (await llorch("models")).out.splitlines()
    assert "Active, pinned" in model
    assert pull.startswith("hf:org/next")
    assert "25 %" in pull


async def test_gc_plans_unless_told_to_run(fake: FakeOrchestratord, llorch: Llorch) -> None:
    fake.documents["/v2/catalog/gc/plan"] = PLAN
    plan = (await llorch("gc")).out
    assert "it was retired 9 days ago" in plan
    assert "this would free 4.0 KiB" in plan
    step = {"model_id": "old", "outcome": "deleted", "explanation": "gone", "freed_bytes": 4096}
    fake.documents["/v2/catalog/gc/run"] = {"steps": [step], "freed_bytes": 4096}
    assert (await llorch("gc", "--run")).out.splitlines()[-1] == "4.0 KiB were freed"


async def test_a_reload_waits_for_the_new_engine(fake: FakeOrchestratord, start: Start) -> None:
    path = "/v2/pools/default"
    fake.documents[f"{path}/status"] = POOL | {"replicas": [replica(1)]}
    fake.documents[f"{path}/reload"] = POOL
    child = await start("reload", "default", "file:tiny.gguf")
    while sum(seen.path == f"{path}/status" for seen in fake.requests) < 3:
        await asyncio.sleep(0.01)
    assert child.returncode is None
    fake.documents[f"{path}/status"] = POOL | {"replicas": [replica(2)]}
    out, _ = await child.communicate()
    assert (child.returncode, out) == (0, b"default serves tiny\n")


async def test_a_reload_that_was_rolled_back_says_why(
    fake: FakeOrchestratord, start: Start
) -> None:
    path = "/v2/pools/default"
    fake.documents[f"{path}/status"] = POOL | {"replicas": [replica(1)]}
    fake.documents[f"{path}/reload"] = POOL
    child = await start("reload", "default", "file:broken.gguf")
    while not any(seen.path == f"{path}/reload" for seen in fake.requests):
        await asyncio.sleep(0.01)
    fake.documents[f"{path}/status"] = POOL | {"last_error": "it is cut", "replicas": [replica(1)]}
    _, err = await child.communicate()
    assert (child.returncode, err) == (1, b"llorch: it is cut\n")


async def test_a_purge_names_what_goes(fake: FakeOrchestratord, llorch: Llorch) -> None:
    fake.documents["/v2/pools/default/purge"] = POOL
    outcome = await llorch("purge", "default", "--engine", "--models", "--drain")
    assert (outcome.code, outcome.out) == (0, "default is being purged\n")
    wish = json.loads(fake.requests[-1].body)
    assert {name for name, on in wish.items() if on} == {
        *("purge_engine", "purge_models", "drain_first"),
    }
    outcome = await llorch("purge", "default")
    assert (outcome.code, len(fake.requests)) == (2, 1)
    assert "--engine" in outcome.err


async def test_a_busy_pool_is_told(fake: FakeOrchestratord, llorch: Llorch) -> None:
    fake.documents["/v2/pools/default/status"] = POOL
    fake.refusals.append(Refusal(409, {"code": "POOL_BUSY", "message": "busy", "retriable": False}))
    outcome = await llorch("reload", "default", "file:tiny.gguf")
    assert (outcome.code, outcome.err) == (1, "llorch: POOL_BUSY: busy\n")
