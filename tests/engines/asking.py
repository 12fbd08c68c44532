"""Requests to an engine: through an adapter, and past it."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from adapter_api import EngineEvent, EngineFinish, EngineRequest, Tokens, WorkerAdapter

from .installed import EngineProcess

MODEL = "tiny"
"""What every engine here calls its model."""
GREEDY = {"temperature": 0.0}
MESSAGES = ({"role": "user", "content": "Who are you?"},)
WAYS: dict[str, dict[str, Any]] = {
    "completion": {"prompt": "Hello"},
    "chat": {"messages": MESSAGES},
}
LONG_TOKENS = 6_000
"""Many more than an engine says before a test is over."""


def text_of(events: list[EngineEvent]) -> str:
    """What they told."""
    return "".join(piece for event in events if isinstance(event, Tokens) for piece in event.pieces)


def extras_of(events: list[EngineEvent]) -> list[tuple[str, Any]]:
    """Each piece with what came beside it."""
    return [
        pair
        for event in events
        if isinstance(event, Tokens)
        for pair in zip(event.pieces, event.extras or (), strict=True)
    ]


async def said(
    adapter: WorkerAdapter, **fields: Any
) -> tuple[str, EngineFinish, list[EngineEvent]]:
    """Run a request: its text, how it ended, and all that it told."""
    events: list[EngineEvent] = []
    finish = await adapter.run(EngineRequest(task_id="t", **fields), events.append)
    return text_of(events), finish, events


@asynccontextmanager
async def begun(
    adapter: WorkerAdapter, task_id: str, *, wait: bool = True, **fields: Any
) -> AsyncIterator[list[EngineEvent]]:
    """A run, from its first token on (unless told not to wait), cancelled at the end."""
    events: list[EngineEvent] = []
    first = asyncio.Event()

    def sink(event: EngineEvent) -> None:
        events.append(event)
        if isinstance(event, Tokens):
            first.set()

    request = EngineRequest(task_id=task_id, **fields)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(adapter.run(request, sink))
        if wait:
            await first.wait()
        try:
            yield events
        finally:
            task.cancel()


async def asked_plainly(engine: EngineProcess, way: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The engine's own answer, without a stream and without us."""
    path = "/v1/completions" if "prompt" in way else "/v1/chat/completions"
    return await asyncio.to_thread(post, engine, path, {"model": MODEL, **way, **more})


def post(engine: EngineProcess, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A POST that must succeed."""
    request = urllib.request.Request(
        engine.url + path,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {engine.key}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def message_tokens(engine: EngineProcess, text: str) -> int:
    """How many tokens the prompt has that a chat of this one message makes."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 1}
    return int(post(engine, "/v1/chat/completions", body)["usage"]["prompt_tokens"])


def said_by(answer: dict[str, Any]) -> str:
    """The text of a whole answer."""
    (choice,) = answer["choices"]
    return str(choice["text"] if "text" in choice else choice["message"]["content"])
