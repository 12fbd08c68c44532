"""A scripted engine of the dialect, for the conformance kit: real sockets, recorded shapes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from adapter_api import EngineFinish, EngineRequest, EventSink, WorkerAdapter
from adapter_api.conformance import Around, Course, Ending, Phase, Trouble
from worker_http.testing import ScriptedServer, Wire, WireRequest, chunk

_NOBODY = "http://127.0.0.1:1"
_GENERATING = ("/v1/completions", "/v1/chat/completions")
_MODEL = "tiny"

Answer = Callable[[int], tuple[int, bytes]]
"""Given how many requests the engine has under way, the status and body of a plain GET."""


class AsChat(Around):
    """An adapter that is given prompts and sends them as messages: for the chat's path."""

    def __init__(self, inner: WorkerAdapter) -> None:
        super().__init__(inner)
        self._inner = inner

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        """Run the prompt as what a user says."""
        messages = [{"role": "user", "content": request.prompt or ""}]
        return await self._inner.run(replace(request, prompt=None, messages=messages), sink)


class ScriptedOpenAi:
    """Answers generating requests as its course says; others by `answers`, else with 404."""

    def __init__(
        self,
        make: Callable[[str], WorkerAdapter],
        *,
        owned_by: str = "nobody",
        answers: dict[str, Answer] | None = None,
    ) -> None:
        self.adapter = make(_NOBODY)
        self.course = Course()
        self.requests: list[WireRequest] = []
        self._make = make
        self.url = _NOBODY
        card = {"id": _MODEL, "object": "model", "owned_by": owned_by, "max_model_len": 1024}
        models = json.dumps({"object": "list", "data": [card]}).encode()
        self._answers: dict[str, Answer] = {"/v1/models": lambda _: (200, models)}
        self._answers |= answers or {}
        self._working = 0
        self._reached = asyncio.Event()
        self._abandoned = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ScriptedOpenAi"]:
        """Serve until the block ends."""
        async with ScriptedServer.running(self._serve) as server:
            self.requests = server.requests
            self.url = server.url
            self.adapter = self._make(server.url)
            try:
                yield self
            finally:
                await self.adapter.close()

    def follow(self, course: Course) -> None:
        """Do this with every generating request from now on, for a new adapter."""
        self.course = course
        self._reached.clear()
        self._abandoned.clear()
        nobody = course.trouble is Trouble.UNREACHABLE
        self.adapter = self._make(_NOBODY if nobody else self.url)

    async def reached(self) -> None:
        """Wait until a request has come to the point where its course stalls."""
        await self._reached.wait()

    async def abandoned(self) -> None:
        """Wait until a stalled request's caller has left."""
        await self._abandoned.wait()

    async def _serve(self, request: WireRequest, wire: Wire) -> None:
        if request.path in _GENERATING:
            if self.course.trouble is not None:
                await cause_trouble(self.course.trouble, wire)
            else:
                await self._stream(wire, chat=request.path == _GENERATING[1])
        elif (answer := self._answers.get(request.path)) is not None:
            status, body = answer(self._working)
            await wire.respond(status, body)
        else:
            await wire.respond(404, b'{"detail":"Not Found"}')

    async def _stream(self, wire: Wire, *, chat: bool) -> None:
        course = self.course
        await self._stall(Phase.QUEUE, wire)
        await wire.begin_stream()
        if chat:
            await wire.send(chunk(_event(chat=True, content="", role="assistant")))
        await self._stall(Phase.PROMPT, wire)
        pieces = list(course.pieces)
        if course.stall is Phase.DECODE:
            await wire.send(chunk(_event(chat=chat, content=pieces.pop(0))))
        await self._stall(Phase.DECODE, wire)
        body = b"".join(chunk(_event(chat=chat, content=piece)) for piece in pieces)
        match course.ending:
            case Ending.FINISH:
                body += chunk(_event(chat=chat, content="", reason=course.finish_reason))
                body += chunk(_usage(course)) + chunk(b"data: [DONE]\n\n") + chunk(b"")
            case Ending.NO_FINAL:
                body += chunk(b"")
            case Ending.ERROR_EVENT:
                body += chunk(IN_STREAM_ERROR) + chunk(b"")
            case Ending.RESET:
                pass
        await wire.send(body, size=course.bytes_per_write)
        if course.ending is Ending.RESET:
            wire.reset()

    async def _stall(self, phase: Phase, wire: Wire) -> None:
        if self.course.stall is phase:
            self._working += 1
            self._reached.set()
            await wire.left()
            self._working -= 1
            self._abandoned.set()
            raise ConnectionResetError  # the handler ends and the connection closes


def _error(message: str, code: int) -> bytes:
    body = {"error": {"message": message, "type": "X", "param": None, "code": code}}
    return json.dumps(body).encode()


IN_STREAM_ERROR = b"data: " + _error("EngineCore encountered an issue.", 500) + b"\n\n"
"""What an engine says that dies in the middle of a stream."""


def _event(
    *, chat: bool, content: str, role: str | None = None, reason: str | None = None
) -> bytes:
    choice: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": reason}
    if chat:
        choice["delta"] = {"content": content} | ({"role": role} if role else {})
    else:
        choice["text"] = content
    return _sse({"id": "x-1", "model": _MODEL, "choices": [choice], "usage": None})


def _usage(course: Course) -> bytes:
    counts = {
        "prompt_tokens": course.tokens_in,
        "completion_tokens": course.tokens_out,
        "total_tokens": course.tokens_in + course.tokens_out,
    }
    return _sse({"id": "x-1", "model": _MODEL, "choices": [], "usage": counts})


def _sse(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


async def cause_trouble(trouble: Trouble, wire: Wire) -> None:
    """Answer a request as an engine in that trouble does."""
    match trouble:
        case Trouble.CONTEXT_TOO_LONG:
            told = "This model's maximum context length is 1024 tokens. Your request has 5851."
            await wire.respond(400, _error(told, 400))
        case Trouble.UNAUTHORIZED:
            await wire.respond(401, b'{"error":"Unauthorized"}')
        case Trouble.BUSY:
            await wire.respond(429, b'{"code":"REPLICA_BUSY","message":"full"}')
        case Trouble.LOADING:
            await wire.respond(503, _error("Loading model", 503))
        case Trouble.FAILED:
            await wire.respond(500, _error("it broke", 500))
        case Trouble.GARBAGE:
            await wire.begin_stream()
            await wire.send(chunk(b"data: {not json\n\n") + chunk(b""))
        case Trouble.HTML:
            await wire.respond(200, b"<html>hello</html>", content_type="text/html")
        case Trouble.WRONG_TYPE:
            await wire.respond(200, b'{"choices":[{"text":"all at once"}]}')
        case Trouble.EMPTY:
            await wire.respond(200, b"")
        case Trouble.UNREACHABLE:
            wire.reset()
