"""Tasks for models that are not on this disk: fetched because somebody asks for them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from demo_model import DEMO, ENDLESS, ensure
from model_provisioner.testing import ModelServer

from .calls import Api, Frame, eventually, text_of
from .daemons import Daemon, Place

GREEDY = {"temperature": 0}
TOKENS = 12


@pytest.fixture
async def server(models: Path) -> AsyncIterator[ModelServer]:
    async with ModelServer.running() as server:
        server.files["/endless.gguf"] = ensure(models, spec=ENDLESS).read_bytes()
        server.files["/demo.gguf"] = ensure(models, spec=DEMO).read_bytes()
        yield server


async def _gate(server: ModelServer, opened: asyncio.Event) -> None:
    """Let the first body pass, and those after the cut once the gate is open."""
    if not server.faults.cuts:
        await opened.wait()


def _is_fetching(frame: Frame) -> bool:
    step = (frame.data.get("prep") or {}).get("fetch") or {}
    return step.get("status") == "running" and "bytes_done" in step


async def test_a_task_fetches_its_model_and_is_told_how_far_that_is(
    place: Callable[..., Place], connect: Callable[[Daemon], Api], server: ModelServer
) -> None:
    api = connect(place().start(ready=False))
    seen = asyncio.Event()
    server.faults.cuts = [1_500_000]
    server.faults.before_body = lambda _path: _gate(server, seen)
    reference = f"{server.url}/endless.gguf"
    task = {"model_ref": reference, "prompt": "1", "max_tokens": TOKENS, "sampling": GREEDY}
    accepted = await api.submit(**task)
    steps = accepted["preparation"]["steps"]
    assert [(step["id"], step["kind"]) for step in steps] == [
        ("fetch", "fetch_model"),
        ("load", "load_model"),
    ]
    async with api.open(**task) as also:
        frames = await also.until("metrics")
        while not _is_fetching(frames[-1]):
            frames += await also.until("metrics")
        seen.set()
        frames += await also.rest()
    for told in (frames, await api.read(accepted["task_id"])):
        assert text_of(told) == ENDLESS.expected_text(TOKENS), told[-1]
    first, second = server.bodies("/endless.gguf")
    assert first is None
    assert second is not None, "what had come was fetched again"
    (model,) = (await api.get("/v2/catalog/models"))["models"]
    assert (model["model_id"], model["reference"]) == ("endless", reference)
    # By now it is a model like any other, under its id too.
    frames = await api.run(**{**task, "model_ref": "endless"})
    assert text_of(frames) == ENDLESS.expected_text(TOKENS)


async def test_a_model_that_cannot_be_fetched_ends_its_tasks_with_the_reason(
    place: Callable[..., Place], connect: Callable[[Daemon], Api], server: ModelServer
) -> None:
    api = connect(place().start(ready=False))
    server.files["/broken.gguf"] = server.files["/demo.gguf"][:-4096]
    reference = f"{server.url}/broken.gguf"
    accepted = await api.submit(model_ref=reference, prompt="1")
    last = (await api.read(accepted["task_id"]))[-1]
    assert (last.event, last.data["code"]) == ("error", "MODEL_NOT_AVAILABLE")
    assert "4096 bytes are missing" in last.data["message"]
    again = await api.call("POST", "/v2/tasks", json={"model_ref": reference, "prompt": "1"})
    assert (again.status, again.json()["code"]) == (503, "MODEL_NOT_AVAILABLE")
    assert again.json()["retry_after_ms"] > 0
    assert (await api.get("/v2/catalog/models"))["models"] == []
    frames = await api.run(
        model_ref=f"{server.url}/demo.gguf", prompt="1", max_tokens=TOKENS, sampling=GREEDY
    )
    assert text_of(frames) == DEMO.expected_text(TOKENS)


async def test_the_last_task_may_leave_and_the_model_comes_nevertheless(
    place: Callable[..., Place], connect: Callable[[Daemon], Api], server: ModelServer
) -> None:
    api = connect(place().start(ready=False))
    accepted = await api.submit(model_ref=f"{server.url}/endless.gguf", prompt="1")
    await api.cancel(accepted["task_id"])
    assert (await api.read(accepted["task_id"]))[-1].data["code"] == "CANCELED"

    async def here() -> bool:
        return bool((await api.get("/v2/catalog/models"))["models"])

    await eventually(here, "the model", within_s=30)


@pytest.mark.parametrize(
    ("settings", "status", "code", "word"),
    [
        ({"network_policy": "deny"}, 403, "FORBIDDEN", "deny"),
        ({"auto_pull": False}, 404, "MODEL_NOT_FOUND", "no model"),
    ],
)
async def test_what_may_not_be_fetched_is_refused_at_once(
    place: Callable[..., Place],
    connect: Callable[[Daemon], Api],
    server: ModelServer,
    settings: dict[str, object],
    status: int,
    code: str,
    word: str,
) -> None:
    api = connect(place(**settings).start(ready=False))
    wish = {"model_ref": f"{server.url}/endless.gguf", "prompt": "1"}
    answer = await api.call("POST", "/v2/tasks", json=wish)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert word in answer.json()["message"]
    await asyncio.sleep(0)
    assert not server.requests
