"""A mock engine that costs next to nothing: llama.cpp's API and OpenAI's, as far as streams need.

    python -m benchmarks.engine [--interval-ms MS] [--port PORT]

Without an interval a stream is written at once (burst), with one a token at a time (paced). The
first line of its output is the port.
"""

import argparse
import asyncio
import json
import re
import sys
from typing import Protocol

from benchmarks.loops import run

MODEL = "bench"
SLOTS = 4096
CTX_TOKENS = 2**20
PIECE = " word"
"""Every token's text; nothing else in any answer contains it."""

_TOKENS = re.compile(rb'"(?:max_tokens|n_predict)"\s*:\s*(\d+)')
_LENGTH = re.compile(rb"(?i)content-length:\s*(\d+)")
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_LAST_CHUNK = b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(data: object) -> bytes:
    return _chunk(b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n")


def _whole(data: object, status: str = "200 OK") -> bytes:
    body = json.dumps(data).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


class Stream(Protocol):
    """The chunks of one kind of answer."""

    token: bytes

    @classmethod
    def end(cls, tokens: int) -> bytes:
        """What follows the last token."""


class NativeStream:
    """The stream of `/completion`, as llama.cpp writes it."""

    token = _event(
        {
            "index": 0,
            "content": PIECE,
            "tokens": [1],
            "stop": False,
            "id_slot": -1,
            "tokens_predicted": 1,
            "tokens_evaluated": 7,
        }
    )

    @classmethod
    def end(cls, tokens: int) -> bytes:
        """What follows the last token."""
        return _event(
            {
                "index": 0,
                "content": "",
                "tokens": [],
                "id_slot": 0,
                "stop": True,
                "model": MODEL,
                "tokens_predicted": tokens,
                "tokens_evaluated": 7,
                "stop_type": "limit",
                "truncated": False,
                "timings": {"cache_n": 0, "prompt_ms": 1.0, "predicted_ms": 1.0},
            }
        )


class ChatStream:
    """The stream of `/v1/chat/completions`."""

    @staticmethod
    def _of(**fields: object) -> bytes:
        return _event(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": MODEL,
                **fields,
            }
        )

    token = _of(choices=[{"index": 0, "delta": {"content": PIECE}, "finish_reason": None}])

    @classmethod
    def end(cls, tokens: int) -> bytes:
        """What follows the last token."""
        usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
        return (
            cls._of(choices=[{"index": 0, "delta": {}, "finish_reason": "length"}])
            + cls._of(choices=[], usage=usage)
            + _chunk(b"data: [DONE]\n\n")
        )


_STREAMS: dict[bytes, type[Stream]] = {
    b"/completion": NativeStream,
    b"/v1/chat/completions": ChatStream,
}
_ANSWERS = {
    b"/health": _whole({"status": "ok"}),
    b"/v1/models": _whole({"object": "list", "data": [{"id": MODEL, "object": "model"}]}),
    b"/props": _whole(
        {
            "default_generation_settings": {"n_ctx": CTX_TOKENS},
            "total_slots": SLOTS,
            "model_path": f"/models/{MODEL}.gguf",
            "model_alias": MODEL,
            "build_info": "mock",
            "chat_template": "{{ messages }}",
        }
    ),
    b"/slots": _whole([{"id": 0, "is_processing": False}]),
    b"/get_server_info": _whole({"model_path": MODEL}),
    b"/get_model_info": _whole({"model_path": MODEL}),
}
_MISSING = _whole({"error": {"code": 404, "message": "not found"}}, "404 Not Found")


class Engine(asyncio.Protocol):
    """One connection; requests on it are answered in their order."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Stop writing."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while self._timer is None and (request := self._next_request()) is not None:
            self._answer(*request)

    def _next_request(self) -> tuple[bytes, bytes] | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._buffer[:end]
        length = _LENGTH.search(head)
        if length is None and b"chunked" in head:
            last = self._buffer.find(_LAST_CHUNK, end)
            size = last - end - 4 + len(_LAST_CHUNK) if last >= 0 else len(self._buffer)
        else:
            size = 0 if length is None else int(length[1])
        if len(self._buffer) < end + 4 + size:
            return None
        body = self._buffer[end + 4 : end + 4 + size]
        self._buffer = self._buffer[end + 4 + size :]
        return head.split(b" ", 2)[1].partition(b"?")[0], body

    def _answer(self, path: bytes, body: bytes) -> None:
        stream = _STREAMS.get(path)
        if stream is None:
            # Also at the paths of a node, for which it may be taken.
            self._transport.write(_ANSWERS.get(path.rpartition(b"/engine")[2], _MISSING))
            return
        found = _TOKENS.search(body)
        tokens = 64 if found is None else int(found[1])
        end = stream.end(tokens) + _LAST_CHUNK
        if not self._interval_s:
            self._transport.write(_HEAD + stream.token * tokens + end)
            return
        self._transport.write(_HEAD)
        self._next_token(stream.token, tokens, end, self._loop.time() + self._interval_s)

    def _next_token(self, token: bytes, left: int, end: bytes, at_s: float) -> None:
        def write() -> None:
            if left:
                self._transport.write(token)
                self._next_token(token, left - 1, end, at_s + self._interval_s)
            else:
                self._timer = None
                self._transport.write(end)
                self.data_received(b"")

        self._timer = self._loop.call_at(at_s, write)


async def serve(port: int, interval_ms: float) -> None:
    """Serve for ever; the port goes to the output."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Engine(interval_ms / 1000), "127.0.0.1", port, backlog=4096
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A mock engine.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--interval-ms", type=float, default=0.0)
    chosen = parser.parse_args()
    run(serve(chosen.port, chosen.interval_ms))
