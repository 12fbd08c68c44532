"""The client library against a daemon, over a wire that is cut."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from api_types import End, Started, Token
from demo_model import SLOW
from orchestrator_client import Client, RetryPolicy

from .calls import Api
from .daemons import Daemon, Place, Pool

TOKENS = 6
FRAME_END = b"\n\n"
AT_ONCE = RetryPolicy(base_ms=1, cap_ms=10)


@pytest.fixture(scope="module")
def daemon(shared_place: Callable[..., Place], models: Path) -> Daemon:
    return shared_place(Pool.of(models, SLOW, ctx=1024)).start()


@pytest.fixture
def api(daemon: Daemon, connect: Callable[[Daemon], Api]) -> Api:
    return connect(daemon)


class Wire:
    """Passes connections on; once told to, cuts the next answer that comes so far."""

    def __init__(self, daemon: Daemon) -> None:
        self._port = int(daemon.url.rpartition(":")[2])
        self.cut: tuple[int, int] | None = None
        """Behind so many frames and so many bytes more."""

    async def pass_on(self, near: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        far, request = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as both:
                asking = both.create_task(_pass_up(near, request))
                await self._pass_down(far, answer)
                asking.cancel()
        finally:
            answer.close()
            request.close()

    async def _pass_down(self, far: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        seen = b""
        while data := await far.read(65_536):
            seen += data
            end = _cut_in(seen, self.cut)
            if end is not None:
                self.cut = None
                answer.write(data[: end - len(seen) + len(data)])
                return
            answer.write(data)


def _cut_in(seen: bytes, cut: tuple[int, int] | None) -> int | None:
    """Tell behind which byte to cut, once that byte is there."""
    if cut is None:
        return None
    frames, more_bytes = cut
    at = 0
    for _ in range(frames):
        found = seen.find(FRAME_END, at)
        if found < 0:
            return None
        at = found + len(FRAME_END)
    return at + more_bytes if len(seen) >= at + more_bytes else None


async def _pass_up(near: asyncio.StreamReader, request: asyncio.StreamWriter) -> None:
    while data := await near.read(65_536):
        request.write(data)
    request.close()


@pytest.mark.parametrize("more_bytes", [0, 30], ids=["between frames", "within a frame"])
async def test_a_stream_cut_at_any_frame_is_resumed_without_loss_or_doubling(
    api: Api, daemon: Daemon, more_bytes: int
) -> None:
    asked = {"prompt": "1", "max_tokens": TOKENS, "sampling": {"temperature": 0}}
    wire = Wire(daemon)
    server = await asyncio.start_server(wire.pass_on, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    cuts = 0
    async with server, Client(url, retry=AT_ONCE, reconnect=AT_ONCE) as client:
        for frames in range(1, TOKENS + 2):
            before = len((await api.get("/v2/tasks?limit=500"))["tasks"])
            wire.cut = (frames, more_bytes)
            events = [event async for event in client.stream(**asked)]
            cuts += wire.cut is None
            texts = [event.data.t for event in events if isinstance(event.data, Token)]
            assert "".join(texts) == SLOW.expected_text(TOKENS), f"cut behind frame {frames}"
            assert [event.id for event in events] == sorted({event.id for event in events})
            assert isinstance(events[0].data, Started)
            assert isinstance(events[-1].data, End)
            after = len((await api.get("/v2/tasks?limit=500"))["tasks"])
            assert after == before + 1, "the cut made a second task"
    assert cuts >= TOKENS, "hardly anything was cut"
