"""A real engine that follows the courses of the conformance kit.

The engine itself is told what to say by a grammar, and how much by its limits. A wire before it
does what no engine does on demand: it holds an answer back while the engine works on, cuts it
anywhere, and ends it in the middle. What the wire does not hold it leaves alone.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from adapter_api import WorkerAdapter
from adapter_api.conformance import Course, Ending, Phase, Trouble
from worker_http.openai_dialect.testing import IN_STREAM_ERROR, cause_trouble
from worker_http.testing import ScriptedServer, Wire, WireRequest, chunk

from .installed import EngineProcess

_NOBODY = "http://127.0.0.1:1"
_GENERATING = ("/v1/completions", "/v1/chat/completions")
_PLAIN = Course()
_LONG_TOKENS = 4_000
"""Many more than an engine says before a held request is given up."""

Make = Callable[[str, str], WorkerAdapter]
"""An adapter for an address and a key."""


@dataclass(frozen=True)
class Steering:
    """What an engine calls the fields by which it is steered."""

    grammar: str
    """Where a grammar goes; a dot leads into an object."""
    ctx_tokens: int
    message_tokens: Callable[[EngineProcess, str], int]
    """How many tokens the prompt has that is made of one message."""


class WiredEngine:
    """A `ScriptedEngine` in front of a real one."""

    def __init__(self, engine: EngineProcess, make: Make, steering: Steering) -> None:
        self.adapter = make(_NOBODY, engine.key)
        self._engine = engine
        self._make = make
        self._steering = steering
        self._course = _PLAIN
        self._url = _NOBODY
        self._session: aiohttp.ClientSession
        self._made: list[WorkerAdapter] = []
        self._reached = asyncio.Event()
        self._abandoned = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["WiredEngine"]:
        """Serve until the block ends."""
        async with (
            aiohttp.ClientSession(self._engine.url) as self._session,
            ScriptedServer.running(self._serve) as server,
        ):
            self._url = server.url
            try:
                yield self
            finally:
                for adapter in self._made:
                    await adapter.close()

    def follow(self, course: Course) -> None:
        """Do this with every generating request from now on, for a new adapter."""
        self._course = course
        self._reached.clear()
        self._abandoned.clear()
        nobody = course.trouble is Trouble.UNREACHABLE
        self.adapter = self._make(_NOBODY if nobody else self._url, self._engine.key)
        self._made.append(self.adapter)

    async def reached(self) -> None:
        """Wait until a request has come to the point where its course stalls."""
        await self._reached.wait()

    async def abandoned(self) -> None:
        """Wait until the engine has been told that a stalled request's caller left."""
        await self._abandoned.wait()

    async def _serve(self, request: WireRequest, wire: Wire) -> None:
        headers = {"Authorization": request.headers.get("authorization", "")}
        body = request.body
        if request.path in _GENERATING:
            match self._course.trouble:
                case None | Trouble.CONTEXT_TOO_LONG | Trouble.WRONG_TYPE:
                    body = await self._steered(json.loads(body), self._course)
                case Trouble.UNAUTHORIZED:
                    headers = {}
                case trouble:
                    await cause_trouble(trouble, wire)
                    return
        headers["Content-Type"] = "application/json"
        async with self._session.request(
            request.method, request.path, data=body or None, headers=headers
        ) as answer:
            if answer.content_type == "text/event-stream" and answer.status == 200:
                await self._pass_on(answer, wire)
            else:
                whole = await answer.read()
                await wire.respond(answer.status, whole, content_type=answer.content_type)

    async def _steered(self, body: dict[str, Any], course: Course) -> bytes:
        counts = (course.tokens_in, course.tokens_out)
        if course.trouble is Trouble.CONTEXT_TOO_LONG:
            await self._ask(body, self._steering.ctx_tokens + 1)
        elif course.trouble is Trouble.WRONG_TYPE:
            body.update(stream=False, stream_options=None, max_tokens=1)
        elif course.stall is not None:
            self._say(body, f"{_literal(course.pieces[0])} [a-z]*")
            body["max_tokens"] = _LONG_TOKENS
        elif course.pieces == _PLAIN.pieces and counts != (_PLAIN.tokens_in, _PLAIN.tokens_out):
            await self._ask(body, course.tokens_in)
            body.update(max_tokens=course.tokens_out, ignore_eos=True)
        else:
            self._say(body, _literal("".join(course.pieces)))
            if course.finish_reason == "length":
                body["max_tokens"] = 1
        return json.dumps(body).encode()

    def _say(self, body: dict[str, Any], rule: str) -> None:
        *outer, name = self._steering.grammar.split(".")
        for key in outer:
            body = body.setdefault(key, {})
        body[name] = f"root ::= {rule}"

    async def _ask(self, body: dict[str, Any], tokens: int) -> None:
        """Ask with a prompt of so many tokens; a digit is one."""
        if "prompt" in body:
            body["prompt"] = [7] * tokens
            return
        around = await asyncio.to_thread(self._steering.message_tokens, self._engine, "#")
        body["messages"] = [{"role": "user", "content": "#" * (tokens - around + 1)}]

    async def _pass_on(self, answer: aiohttp.ClientResponse, wire: Wire) -> None:
        course = self._course
        if course.stall is Phase.QUEUE:
            await self._hold(answer, wire)
        await wire.begin_stream()
        if course.stall is Phase.PROMPT:
            await self._hold(answer, wire)
        said = ""
        async for event in _events(answer):
            text, last = _told(event)
            said += text
            if course.stall is Phase.DECODE:
                # An engine that is slow, or ahead of its reader, cuts its text where it likes.
                if said.startswith(course.pieces[0]):
                    await wire.send(chunk(_telling(event, course.pieces[0])))
                    await self._hold(answer, wire)
                continue
            if last and course.ending is not Ending.FINISH:
                break
            await wire.send(chunk(event), size=course.bytes_per_write)
        match course.ending:
            case Ending.RESET:
                wire.reset()
                return
            case Ending.ERROR_EVENT:
                await wire.send(chunk(IN_STREAM_ERROR))
        await wire.send(chunk(b""))

    async def _hold(self, answer: aiohttp.ClientResponse, wire: Wire) -> None:
        self._reached.set()
        await wire.left()
        answer.close()
        self._abandoned.set()
        raise ConnectionResetError  # the handler ends and the connection closes


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    block = b""
    async for line in answer.content:
        block += line
        if line == b"\n":
            yield block
            block = b""


def _told(event: bytes) -> tuple[str, bool]:
    """The text of an event, and whether it belongs to the end of its stream."""
    data = event.removeprefix(b"data: ").strip()
    if data == b"[DONE]":
        return "", True
    choices = json.loads(data).get("choices")
    if not choices:
        return "", True
    (choice,) = choices
    text = choice.get("text") or choice.get("delta", {}).get("content") or ""
    return text, choice["finish_reason"] is not None


def _telling(event: bytes, text: str) -> bytes:
    """The event, with another text in its place."""
    told = json.loads(event.removeprefix(b"data: "))
    (choice,) = told["choices"]
    if "text" in choice:
        choice["text"] = text
    else:
        choice["delta"]["content"] = text
    return b"data: " + json.dumps(told).encode() + b"\n\n"


def _literal(text: str) -> str:
    """A text as a grammar has it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter.isascii() and letter.isprintable() and letter not in '"\\':
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
