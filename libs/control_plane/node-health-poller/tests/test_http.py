"""Nodes on a real wire."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web

from node_health_poller import (
    HttpNodeClient,
    NodeHealthPoller,
    NodePolled,
    PollSettings,
    Unanswered,
)
from node_health_poller.http import MAX_ANSWER_BYTES, new_session
from node_health_poller.testing import registration

TOKEN = "t" * 32
POOL = {
    "pool_id": "chat",
    "live": True,
    "ready": True,
    "draining": False,
    "slots_total": 4,
    "slots_free": 4,
    "active_leases": 0,
    "vram_total_bytes": 0,
    "vram_free_bytes": 0,
    "engine": "llamacpp",
}


@asynccontextmanager
async def node(*, node=None, pools=None, tls=None):
    """Serve a node; gives its URL and the tokens that it was shown."""
    tokens = []

    async def answer_node(request):
        tokens.append(request.headers.get("Authorization"))
        if node is not None:
            return await node(request)
        body = registration("http://gpu-a:9200").model_dump(mode="json")
        return web.json_response(body | {"status": "online", "new_field": 1})

    async def answer_pools(request):
        tokens.append(request.headers.get("Authorization"))
        return await pools(request) if pools else web.json_response({"pools": [POOL]})

    app = web.Application()
    app.add_routes([web.get("/v2/node", answer_node), web.get("/v2/pools", answer_pools)])
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}", tokens
    finally:
        await runner.cleanup()


@pytest.fixture
async def make_client():
    async with new_session() as session:
        yield lambda timeout_ms=3_000, tls=None: HttpNodeClient(
            session, timeout_ms=timeout_ms, token=lambda: TOKEN, tls=lambda: tls
        )


async def test_a_node_says_who_it_is_and_how_its_pools_are(make_client):
    async with node() as (url, tokens):
        polled = await make_client().ask(url)
    assert (polled.url, polled.node.node_id) == (url, "gpu-a")
    assert [pool.pool_id for pool in polled.pools] == ["chat"]
    assert tokens == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize("status", [401, 404, 500, 307])
async def test_a_refusal_is_no_answer_and_a_redirect_is_not_followed(make_client, status):
    async def refuse(request):
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:9/"})

    async with node(pools=refuse) as (url, _):
        with pytest.raises(Unanswered, match=f"HTTP {status}"):
            await make_client().ask(url)


async def test_an_answer_that_makes_no_sense_is_none(make_client):
    async def nonsense(request):
        return web.json_response({"pools": [{"pool_id": "chat"}]})

    async with node(pools=nonsense) as (url, _):
        with pytest.raises(Unanswered, match="PoolList"):
            await make_client().ask(url)


async def test_an_endless_answer_is_cut(make_client):
    async def endless(request):
        return web.Response(body=b" " * (MAX_ANSWER_BYTES + 1))

    async with node(node=endless) as (url, _):
        with pytest.raises(Unanswered, match="more than"):
            await make_client().ask(url)


async def test_a_node_that_hangs_is_given_up(make_client):
    released = asyncio.Event()

    async def hang(request):
        await released.wait()

    async with node(node=hang) as (url, _):
        with pytest.raises(Unanswered, match=r"within 0\.05 s"):
            await make_client(timeout_ms=50).ask(url)
        released.set()


async def test_nobody_there_is_told_without_the_token(make_client, unused_tcp_port):
    with pytest.raises(Unanswered) as caught:
        await make_client().ask(f"http://127.0.0.1:{unused_tcp_port}")
    assert TOKEN not in str(caught.value)


async def test_only_a_node_of_our_ca_is_told_the_token(make_client):
    ours, strangers = trustme.CA(), trustme.CA()
    contexts = []
    for ca in (ours, strangers):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        contexts.append(context)
    trusting = ssl.create_default_context()
    ours.configure_trust(trusting)
    async with node(tls=contexts[0]) as (good, _), node(tls=contexts[1]) as (bad, tokens):
        assert (await make_client(tls=trusting).ask(good)).node.node_id == "gpu-a"
        with pytest.raises(Unanswered):
            await make_client(tls=trusting).ask(bad)
    assert tokens == []


async def test_the_running_poller_asks_real_nodes():
    told = asyncio.Queue()
    async with node() as (url, _):
        settings = PollSettings(urls=(url,))
        async with NodeHealthPoller.running(
            settings, told.put_nowait, token=lambda: TOKEN
        ) as poller:
            assert isinstance(await told.get(), NodePolled)
            assert poller.status(url).last.node.node_id == "gpu-a"
