"""`llorch run`: one prompt, its answer as it comes."""

import argparse
import asyncio
import json
import sys
from contextlib import aclosing
from typing import TextIO
from uuid import UUID, uuid4

from api_types import End, ErrorFrame, Metrics, Started, TaskRequest, Token
from llorch import tables
from llorch.exits import Exit
from llorch.terminal import StatusLine, harmless
from orchestrator_client import Client, LlamaOrchError, TaskEvent, TaskNotFound

_FAREWELL_S = 2.0
"""How long leaving may take: the time to tell the server to stop the task."""


async def run(client: Client, args: argparse.Namespace) -> Exit:
    """Stream one answer; an interrupt or a reader that goes away cancels the task."""
    task_id = uuid4()
    request = _request(task_id, args)
    view = JsonView(sys.stdout) if args.json else TextView(sys.stdout, sys.stderr)
    outcome = Exit.FAILED
    try:
        async with aclosing(client.stream(request)) as events:
            async for event in events:
                view.show(event)
                if isinstance(event.data, End):
                    outcome = Exit.OK
    except (asyncio.CancelledError, BrokenPipeError):
        await _cancel(client, task_id)
        raise
    finally:
        view.close()
    return outcome


def _request(task_id: UUID, args: argparse.Namespace) -> TaskRequest:
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    asked = {
        "task_id": task_id,
        "model_ref": args.model,
        "max_tokens": args.max_tokens,
        "seed": args.seed,
        "priority": args.priority,
        "session_id": args.session,
        "sampling": None if args.temperature is None else {"temperature": args.temperature},
    }
    if args.chat:
        asked["messages"] = [{"role": "user", "content": prompt}]
    else:
        asked["prompt"] = prompt
    return TaskRequest.model_validate({k: v for k, v in asked.items() if v is not None})


async def _cancel(client: Client, task_id: UUID) -> None:
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await client.cancel(task_id)
    except TaskNotFound:
        pass  # it was not admitted yet
    except (LlamaOrchError, TimeoutError) as error:
        sys.stderr.write(f"llorch: task {task_id} may still run: {str(error) or 'no answer'}\n")


class JsonView:
    """Writes each event as one line of JSON."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: TaskEvent) -> None:
        """Write one event."""
        data = event.data.model_dump(mode="json", exclude_none=True)
        line = {"id": event.id, "event": event.name, "data": data}
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing is left to write."""


class TextView:
    """Writes the text to `out`; what is said about it goes to `err`."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._status = StatusLine(err)
        self._clean = harmless if out.isatty() else str
        self._last = ""

    def show(self, event: TaskEvent) -> None:
        """Write what one event brings."""
        match event.data:
            case Started(attempt=attempt) if self._last:
                self._say(f"the worker was lost; attempt {attempt} begins anew")
            case Started() | Metrics() as news if not self._last:
                self._status.show(tables.progress(news) or "")
            case Token(t=piece) if piece:
                self._status.clear()
                self._out.write(self._clean(piece))
                self._out.flush()
                self._last = piece
            case End() as end if self._status.visible:
                self._say(tables.summary(end))
            case ErrorFrame(code=code, message=message):
                self._say(f"llorch: {code}: {message}")
            case _:
                pass

    def close(self) -> None:
        """End the text with a line break and take the status line away."""
        self._status.clear()
        self._break_line()

    def _say(self, remark: str) -> None:
        self._status.clear()
        self._break_line()
        self._err.write(harmless(remark) + "\n")
        self._err.flush()

    def _break_line(self) -> None:
        if self._last and not self._last.endswith("\n"):
            self._out.write("\n")
            self._out.flush()
            self._last = "\n"
