"""The messages on a real wire."""

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
import trustme
from aiohttp import web

from node_registration import (
    HttpControlPlane,
    NodeMessages,
    NodeRegistration,
    RefusalCode,
    Refused,
    Registered,
    RegistrationSettings,
    Unreachable,
)
from node_registration.http import MAX_ANSWER_BYTES, new_session, split_callback_url
from node_registration.testing import description

WELCOME = {"success": True, "message": "", "node_id": "gpu-a", "heartbeat_interval_ms": 10_000}
HEARD = {"success": True, "next_heartbeat_ms": 10_000}
TOKEN = "t" * 32


@dataclass
class Server:
    """A control plane over HTTP that keeps what it is told and answers as a test wants."""

    url: str = ""
    told: asyncio.Queue = field(default_factory=asyncio.Queue)
    answer: object = None

    async def handle(self, request):
        body = await request.json()
        self.told.put_nowait((request.method, request.path, dict(request.headers), body))
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response(HEARD if "heartbeat" in request.path else WELCOME)


@asynccontextmanager
async def serving(tls=None):
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
async def server():
    async with serving() as server:
        yield server


@pytest.fixture
async def make_client():
    async with new_session() as session:
        yield lambda url, token=None, tls=None, timeout_ms=5_000: HttpControlPlane(
            session, url, timeout_ms=timeout_ms, token=lambda: token, tls=lambda: tls
        )


@pytest.fixture
def messages():
    return NodeMessages("gpu-a", uuid4(), description)


def answering(status, body):
    async def answer(request):
        return web.json_response(body, status=status)

    return answer


async def test_each_message_takes_the_route_of_the_contract(server, make_client, messages, pool):
    client = make_client(server.url + "/", TOKEN)
    await client.register(messages.register())
    await client.heartbeat(messages.heartbeat((pool,), (), timestamp_ms=1))
    await client.pool_ready(messages.pool_ready(pool))
    await client.deregister(messages.deregister("update"))
    told = [server.told.get_nowait() for _ in range(4)]
    assert [(method, path) for method, path, _, _ in told] == [
        ("POST", "/v2/nodes/register"),
        ("POST", "/v2/nodes/gpu-a/heartbeat"),
        ("POST", "/v2/callbacks/pool-ready"),
        ("DELETE", "/v2/nodes/gpu-a"),
    ]
    assert [body["seq"] for _, _, _, body in told] == [1, 2, 3, 4]
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for _, _, headers, _ in told)


async def test_without_a_token_none_is_sent(server, make_client, messages):
    answer = await make_client(server.url).register(messages.register())
    assert answer.heartbeat_interval_ms == 10_000
    assert "Authorization" not in server.told.get_nowait()[2]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, {"code": "NODE_UNKNOWN", "message": "who?"}, RefusalCode.NODE_UNKNOWN),
        (409, {"code": "STALE_INCARNATION", "message": "old"}, RefusalCode.STALE_INCARNATION),
        (409, {"code": "NODE_ID_CONFLICT", "message": "two"}, RefusalCode.NODE_ID_CONFLICT),
        (401, {"code": "BAD_TOKEN", "message": "no"}, RefusalCode.OTHER),
        (404, {"detail": "some proxy"}, RefusalCode.OTHER),
        (502, [], RefusalCode.OTHER),
    ],
)
async def test_a_refusal_is_read_by_its_code_not_its_status(
    server, make_client, messages, status, body, code
):
    server.answer = answering(status, body)
    answer = await make_client(server.url).register(messages.register())
    assert isinstance(answer, Refused)
    assert answer.code is code


async def test_a_refused_token_is_not_repeated_in_what_is_told(server, make_client, messages):
    server.answer = answering(401, {"code": "BAD_TOKEN", "message": "unknown"})
    answer = await make_client(server.url, TOKEN).register(messages.register())
    assert TOKEN not in str(answer)


async def test_an_answer_that_makes_no_sense_is_no_answer(server, make_client, messages):
    server.answer = answering(200, {"hello": "world"})
    answer = await make_client(server.url).register(messages.register())
    assert isinstance(answer, Unreachable)
    assert "RegisterResponse" in answer.reason


async def test_an_endless_answer_is_cut(server, make_client, messages):
    server.answer = answering(200, {"message": "x" * (MAX_ANSWER_BYTES + 1)})
    answer = await make_client(server.url).register(messages.register())
    assert isinstance(answer, Unreachable)
    assert "larger" in answer.reason


async def test_a_redirect_is_not_followed_with_our_token(server, make_client, messages):
    async def redirect(request):
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:9/elsewhere")

    server.answer = redirect
    answer = await make_client(server.url, TOKEN).register(messages.register())
    assert answer == Refused(RefusalCode.OTHER, "HTTP 307")


async def test_nobody_there_is_an_answer_too(make_client, messages, unused_tcp_port):
    answer = await make_client(f"http://127.0.0.1:{unused_tcp_port}").register(messages.register())
    assert isinstance(answer, Unreachable)


async def test_a_control_plane_that_hangs_is_given_up(server, make_client, messages):
    released = asyncio.Event()

    async def hang(request):
        await released.wait()

    server.answer = hang
    answer = await make_client(server.url, timeout_ms=50).register(messages.register())
    released.set()
    assert answer == Unreachable("no answer within 0.05 s")


async def test_a_connection_that_died_unused_costs_no_failure(server, make_client, messages):
    client = make_client(server.url)
    await client.register(messages.register())
    cut = iter([True])

    async def cut_first(request):
        if next(cut, False):
            request.transport.abort()
        return web.json_response(WELCOME)

    server.answer = cut_first
    assert (await client.register(messages.register())).success


async def test_only_a_control_plane_of_our_ca_is_told_anything(make_client, messages, tmp_path):
    ours, strangers = trustme.CA(), trustme.CA()
    contexts = []
    for ca in (ours, strangers):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        contexts.append(context)
    trusting = ssl.create_default_context()
    ours.configure_trust(trusting)
    async with serving(contexts[0]) as good, serving(contexts[1]) as bad:
        answer = await make_client(good.url, TOKEN, trusting).register(messages.register())
        assert answer.success
        for tls in (trusting, None):
            refused = await make_client(bad.url, TOKEN, tls).register(messages.register())
            assert isinstance(refused, Unreachable)
        assert bad.told.empty()


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://cp:8080", ("http://cp:8080", "/v2/callbacks/pool-ready")),
        ("http://cp:8080/", ("http://cp:8080", "/v2/callbacks/pool-ready")),
        ("https://cp/callbacks/pool-ready", ("https://cp", "/callbacks/pool-ready")),
    ],
)
def test_a_callback_url_may_have_a_path(url, parts):
    assert split_callback_url(url) == parts


# the service


async def test_a_node_registers_with_every_control_plane_and_a_dead_one_delays_none(
    server, pauses, unused_tcp_port
):
    dead = f"http://127.0.0.1:{unused_tcp_port}"
    settings = RegistrationSettings(node_id="gpu-a", control_planes=(dead, server.url))
    events = []
    async with NodeRegistration.running(
        settings, description, on_event=events.append, pause=pauses
    ) as registration:
        dead_link, link = registration.links
        await link.registered()
        await pauses.begun()
        assert Registered(server.url) in events
        assert not dead_link.is_registered
        assert await registration.deregister("update") == 1
    paths = [server.told.get_nowait()[1] for _ in range(2)]
    assert paths == ["/v2/nodes/register", "/v2/nodes/gpu-a"]


async def test_a_farewell_is_bounded_in_time(server):
    settings = RegistrationSettings(node_id="gpu-a", control_planes=(server.url,))
    released = asyncio.Event()

    async def hang(request):
        await released.wait()

    async with NodeRegistration.running(settings, description) as registration:
        await registration.links[0].registered()
        server.answer = hang
        assert await registration.deregister(timeout_ms=50) == 0
        released.set()


async def test_a_pool_that_is_ready_is_told_to_control_planes_and_callback_url(server, pool):
    settings = RegistrationSettings(node_id="gpu-a", control_planes=(server.url,))
    async with serving() as listener, NodeRegistration.running(settings, description) as node:
        await node.links[0].registered()
        node.set_callback_url(f"{listener.url}/callbacks/pool-ready")
        assert await node.pool_ready(pool) == 2
        method, path, _, body = listener.told.get_nowait()
        assert (method, path) == ("POST", "/callbacks/pool-ready")
        assert body["incarnation"] == str(node.incarnation)
        node.set_callback_url(None)
        assert await node.pool_ready(pool) == 1


async def test_a_callback_url_that_is_a_control_plane_is_told_once(server, pool):
    settings = RegistrationSettings(
        node_id="gpu-a", control_planes=(server.url,), callback_url=server.url
    )
    async with NodeRegistration.running(settings, description) as node:
        await node.links[0].registered()
        assert await node.pool_ready(pool) == 1


async def test_what_a_poll_is_answered_is_a_registration_with_the_next_number(server):
    settings = RegistrationSettings(node_id="gpu-a", control_planes=())
    async with NodeRegistration.running(settings, description) as node:
        first, second = node.register_request(), node.register_request()
    assert first.incarnation == second.incarnation == node.incarnation
    assert first.seq < second.seq
