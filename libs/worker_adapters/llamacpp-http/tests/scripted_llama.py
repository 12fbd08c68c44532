"""A scripted engine that speaks llama.cpp's HTTP, byte for byte as it was recorded."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapter_api.conformance import Course, Ending, Phase, Trouble
from llamacpp_http import LlamaCppAdapter
from worker_http.testing import ScriptedServer, Wire, WireRequest, chunk


def error_json(code: int, message: str, kind: str, **more: int) -> bytes:
    body = {"error": {"code": code, "message": message, "type": kind, **more}}
    return json.dumps(body).encode()


def sse(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


class ScriptedLlama:
    """Answers generating requests as its course says, over a real socket."""

    def __init__(self, *, chat: bool = False) -> None:
        self.course = Course()
        self.chat = chat
        self.adapter = LlamaCppAdapter("http://127.0.0.1:1")
        self._server: ScriptedServer | None = None
        self._reached = asyncio.Event()
        self._abandoned = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def running(cls, *, chat: bool = False) -> AsyncIterator["ScriptedLlama"]:
        llama = cls(chat=chat)
        async with ScriptedServer.running(llama.serve) as server:
            llama._server = server
            llama.adapter = LlamaCppAdapter(server.url)
            yield llama
            await llama.adapter.close()

    def follow(self, course: Course) -> None:
        self.course = course
        self._reached.clear()
        self._abandoned.clear()
        if course.trouble is Trouble.UNREACHABLE:
            self.adapter = LlamaCppAdapter("http://127.0.0.1:1")
        elif self._server is not None:
            self.adapter = LlamaCppAdapter(self._server.url)

    async def reached(self) -> None:
        await self._reached.wait()

    async def abandoned(self) -> None:
        await self._abandoned.wait()

    async def serve(self, request: WireRequest, wire: Wire) -> None:
        if request.path == "/health":
            await wire.respond(200, b'{"status":"ok"}')
            return
        if request.path == "/slots":
            await wire.respond(200, b'[{"id":0,"is_processing":false}]')
        elif self.course.trouble is not None:
            await self._trouble(self.course.trouble, wire)
        else:
            await self._stream(wire)

    async def _trouble(self, trouble: Trouble, wire: Wire) -> None:
        match trouble:
            case Trouble.CONTEXT_TOO_LONG:
                told = "request (5851 tokens) exceeds the available context size (512 tokens)"
                kind = "exceed_context_size_error"
                await wire.respond(
                    400, error_json(400, told, kind, n_prompt_tokens=5851, n_ctx=512)
                )
            case Trouble.UNAUTHORIZED:
                body = error_json(401, "Invalid API Key", "authentication_error")
                await wire.respond(401, body)
            case Trouble.BUSY:
                await wire.respond(429, b'{"code":"REPLICA_BUSY","message":"full"}')
            case Trouble.LOADING:
                await wire.respond(503, error_json(503, "Loading model", "unavailable_error"))
            case Trouble.FAILED:
                await wire.respond(500, error_json(500, "it broke", "server_error"))
            case Trouble.GARBAGE:
                await wire.begin_stream()
                await wire.send(chunk(b"data: {not json\n\n") + chunk(b""))
            case Trouble.HTML:
                await wire.respond(200, b"<html>hello</html>", content_type="text/html")
            case Trouble.WRONG_TYPE:
                await wire.respond(200, b'{"content":"all at once","stop":true}')
            case Trouble.EMPTY:
                await wire.respond(200, b"")
            case Trouble.UNREACHABLE:
                wire.reset()

    async def _stream(self, wire: Wire) -> None:
        course = self.course
        await self._stall(Phase.QUEUE, wire)
        await wire.begin_stream()
        await wire.send(chunk(self._progress()))
        await self._stall(Phase.PROMPT, wire)
        pieces = list(course.pieces)
        if course.stall is Phase.DECODE:
            await wire.send(chunk(self._token(pieces.pop(0))))
        await self._stall(Phase.DECODE, wire)
        body = b"".join(chunk(self._token(piece)) for piece in pieces)
        if course.ending is Ending.FINISH:
            body += chunk(self._last()) + chunk(b"")
        elif course.ending is Ending.NO_FINAL:
            body += chunk(b"")
        elif course.ending is Ending.ERROR_EVENT:
            told = error_json(500, "Context size has been exceeded.", "server_error")
            body += chunk(b"data: " + told + b"\n\n") + chunk(b"")
        await wire.send(body, size=course.bytes_per_write)
        if course.ending is Ending.RESET:
            wire.reset()

    async def _stall(self, phase: Phase, wire: Wire) -> None:
        if self.course.stall is phase:
            self._reached.set()
            await wire.left()
            self._abandoned.set()
            raise ConnectionResetError  # the handler ends and the connection closes

    def _progress(self) -> bytes:
        progress = {"total": self.course.tokens_in, "cache": 0, "processed": 0, "time_ms": 0}
        if self.chat:
            delta = {"role": "assistant", "content": None}
            choices = [{"finish_reason": None, "index": 0, "delta": delta}]
            return sse({"choices": choices, "prompt_progress": progress})
        return sse({"content": "", "tokens": [0], "stop": False, "prompt_progress": progress})

    def _token(self, text: str) -> bytes:
        if self.chat:
            return sse(
                {"choices": [{"finish_reason": None, "index": 0, "delta": {"content": text}}]}
            )
        return sse({"index": 0, "content": text, "tokens": [7], "stop": False, "id_slot": -1})

    def _last(self) -> bytes:
        course = self.course
        timings = {"cache_n": 1, "prompt_ms": 2.5, "predicted_ms": 4.5}
        if self.chat:
            choice = {"finish_reason": course.finish_reason, "index": 0, "delta": {}}
            usage = {"prompt_tokens": course.tokens_in, "completion_tokens": course.tokens_out}
            return (
                sse({"choices": [choice]})
                + sse({"choices": [], "usage": usage, "timings": timings})
                + b"data: [DONE]\n\n"
            )
        return sse(
            {
                "content": "",
                "stop": True,
                "id_slot": 0,
                "stop_type": "eos" if course.finish_reason == "stop" else "limit",
                "truncated": False,
                "tokens_predicted": course.tokens_out,
                "tokens_evaluated": course.tokens_in,
                "timings": timings,
            }
        )
