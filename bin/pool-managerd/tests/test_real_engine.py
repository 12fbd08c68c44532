"""A real llama.cpp behind a real daemon, spoken to by its adapter."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from adapter_api import EngineOverloaded, EngineRequest, EngineReset, Tokens
from demo_model import ENDLESS
from llamacpp_http import LlamaCppAdapter

from .daemons import TOKEN, Node, until


@asynccontextmanager
async def adapter_of(node: Node, pool_id: str) -> AsyncIterator[LlamaCppAdapter]:
    adapter = LlamaCppAdapter(node.engine_url(pool_id), api_key=TOKEN, ssl_context=node.context)
    try:
        yield adapter
    finally:
        await adapter.close()


def request(task_id: str = "t", max_tokens: int = 40) -> EngineRequest:
    return EngineRequest(
        task_id=task_id, prompt="hi", max_tokens=max_tokens, sampling={"temperature": 0}
    )


async def text_of(node: Node, pool_id: str, max_tokens: int) -> str:
    pieces: list[str] = []

    def take(event: object) -> None:
        if isinstance(event, Tokens):
            pieces.extend(event.pieces)

    async with adapter_of(node, pool_id) as adapter:
        await adapter.run(request(max_tokens=max_tokens), take)
    return "".join(pieces)


async def test_the_text_arrives_as_the_engine_says_it(endless: Node) -> None:
    assert await text_of(endless, "endless", 300) == ENDLESS.expected_text(300)


async def test_the_engine_describes_itself_and_counts_tokens_through_the_relay(
    endless: Node,
) -> None:
    async with adapter_of(endless, "endless") as adapter:
        assert (await adapter.health()).ready
        described = await adapter.describe()
        assert (described.engine, described.slots) == ("llamacpp", 2)
        assert await adapter.tokenize("hello")


def opened_to(port: int) -> int:
    """Connections to a port of this machine that are open, or were closed just now."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(port in (int(at.rpartition(":")[2], 16) for at in row[1:3]) for row in rows)


async def test_hundreds_of_requests_use_few_connections_to_the_engine(endless: Node) -> None:
    port = urlsplit(endless.handoff("endless")["url"]).port
    assert port is not None
    async with adapter_of(endless, "endless") as adapter:
        before = opened_to(port)
        for _ in range(200):
            await adapter.tokenize("hello")
        assert opened_to(port) - before < 20


async def test_a_generating_request_is_a_lease_as_long_as_it_runs(endless: Node) -> None:
    first_token = asyncio.Event()
    async with adapter_of(endless, "slow") as adapter:
        running = asyncio.ensure_future(
            adapter.run(request("busy", 5_000), lambda _: first_token.set())
        )
        await first_token.wait()
        assert endless.status("slow")["active_leases"] == 1
        with pytest.raises(EngineOverloaded):
            await adapter.run(request("second"), lambda _: None)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await adapter.confirm_stopped("busy")
        until(lambda: endless.status("slow")["slots_free"] == 1, "a free slot", within_s=2)
        # Free means free: the next one is served at once.
        await adapter.run(request("third", 3), lambda _: None)


async def test_a_drain_refuses_the_next_and_cuts_the_running_at_its_deadline(endless: Node) -> None:
    # The last answer's end is seen by its client a moment before the node has its slot back.
    until(lambda: endless.status("slow")["slots_free"] == 1, "a free slot", within_s=5)
    first_token = asyncio.Event()
    async with adapter_of(endless, "slow") as adapter:
        running = asyncio.ensure_future(
            adapter.run(request("drained", 5_000), lambda _: first_token.set())
        )
        await first_token.wait()
        status, pool = endless.call("POST", "/v2/pools/slow/drain", {"deadline_ms": 300})
        assert (status, pool["draining"]) == (202, True)
        with pytest.raises(EngineOverloaded):
            await adapter.run(request("second"), lambda _: None)
        with pytest.raises(EngineReset):
            await running
        until(lambda: endless.status("slow")["active_leases"] == 0, "no lease", within_s=2)
        assert endless.call("POST", "/v2/pools/slow/resume")[1]["draining"] is False
        await adapter.run(request("third", 3), lambda _: None)


def test_a_client_that_reads_nothing_costs_the_node_no_memory(endless: Node) -> None:
    at = urlsplit(endless.engine_url("endless"))
    before = endless.rss_bytes()
    with socket.create_connection((at.hostname, at.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = b'{"prompt":"hi","stream":true,"n_predict":-1,"n_probs":20}'
        head = (
            f"POST {at.path}/completion HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"X-Llorch-Task: unread/1\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        seen, stuck_since = 0, time.monotonic()
        while time.monotonic() - stuck_since < 1.0:  # until the engine, too, has been stopped
            relayed = relayed_bytes(endless)
            if relayed != seen:
                seen, stuck_since = relayed, time.monotonic()
            time.sleep(0.05)
        assert seen > 65_536
        assert endless.rss_bytes() - before < 8 * 1024 * 1024
    until(lambda: endless.status("endless")["slots_free"] == 2, "free slots", within_s=3)


def relayed_bytes(node: Node) -> int:
    _, text = node.call("GET", "/metrics")
    lines = [line for line in text.splitlines() if line.startswith("pool_relay_bytes_total{")]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if 'pool_id="endless"' in line)
