"""Nodes and control planes find each other: the libraries of both sides together, over TLS.

No daemon takes part: what the daemons add are routes.
"""

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trustme
from aiohttp import web

from auth_min import Door, Refusal, TokenSet, client_context, fixed, server_context
from heartbeat_reporter import HeartbeatReporter, HeartbeatSettings, NodeReport
from multi_node_placement import ClusterView
from multi_node_placement.testing import pool_report
from node_health_poller import NodeHealthPoller, NodePolled, PollSettings
from node_registration import (
    Forgotten,
    NodeDescription,
    NodeRegistration,
    NotRegistered,
    Registered,
    RegistrationSettings,
)
from node_types import NodeCapabilities
from orchestrator_core import Constraint, Outcome
from service_discovery_types import (
    DeregisterRequest,
    HeartbeatRequest,
    PoolReadyCallback,
    RegisterRequest,
)
from service_registry import NodeOnline, NodeRemoved, NodeReported, Refused, ServiceRegistry

TOKEN = "a-service-token-of-32-characters"
STATUS = {"NODE_UNKNOWN": 404, "STALE_INCARNATION": 409, "NODE_ID_CONFLICT": 409}


@dataclass
class Fleet:
    """The certificates that all programs of a test share."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    folder, ca = tmp_path_factory.mktemp("pki"), trustme.CA()
    issued = ca.issue_cert("127.0.0.1")
    cert, key, trusted = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    ca.cert_pem.write_to_path(trusted)
    return Fleet(server_context(cert, key, trusted), client_context(trusted, cert, key))


@asynccontextmanager
async def listening(fleet, routes, port=0):
    """Serve routes behind a door; gives the port."""
    door = Door(opens=fixed(TokenSet.parse(TOKEN)))

    @web.middleware
    async def guard(request, handler):
        decision = door.admit(request.headers, request.remote)
        if isinstance(decision, Refusal):
            body = {"code": decision.code, "message": decision.message}
            return web.json_response(body, status=401)
        return await handler(request)

    app = web.Application(middlewares=[guard])
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=fleet.server, reuse_address=True)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@dataclass
class ControlPlane:
    """A registry that feeds a cluster view, with the routes that a node calls."""

    events: asyncio.Queue = field(default_factory=asyncio.Queue)
    view: ClusterView = field(default_factory=ClusterView)
    told: list[type] = field(default_factory=list)

    def __post_init__(self):
        self.registry = ServiceRegistry(self.note)

    def note(self, event):
        if isinstance(event, NodeReported):
            node = event.node
            self.view.apply_report(
                node.node_id, node.pools, labels=node.labels, online=node.placeable
            )
        elif isinstance(event, NodeRemoved):
            self.view.remove_node(event.node.node_id)
        elif hasattr(event, "node"):
            self.view.set_online(event.node.node_id, event.node.placeable)
        self.told.append(type(event))
        self.events.put_nowait(event)

    async def until(self, kind):
        while not isinstance(event := await self.events.get(), kind):
            continue
        return event

    def routes(self):
        node = "/v2/nodes/{node_id}"
        return [
            web.post("/v2/nodes/register", self.taking(RegisterRequest, self.registry.register)),
            web.post(f"{node}/heartbeat", self.taking(HeartbeatRequest, self.registry.heartbeat)),
            web.delete(node, self.taking(DeregisterRequest, self.registry.deregister)),
            web.post(
                "/v2/callbacks/pool-ready",
                self.taking(PoolReadyCallback, self.registry.pool_ready),
            ),
        ]

    def taking(self, message, handle):
        async def handler(request):
            answer = handle(message.model_validate_json(await request.read()))
            if isinstance(answer, Refused):
                body = {"code": answer.code, "message": answer.message}
                return web.json_response(body, status=STATUS[answer.code])
            return web.json_response(text=answer.model_dump_json())

        return handler


@dataclass
class Node:
    """A node with one pool, that registers and reports."""

    registration: NodeRegistration
    reporter: HeartbeatReporter
    events: asyncio.Queue

    async def until(self, kind):
        while not isinstance(event := await self.events.get(), kind):
            continue
        return event

    def routes(self):
        async def node(request):
            return web.json_response(text=self.registration.register_request().model_dump_json())

        async def pools(request):
            report = pool_report("chat", slots=2, model_id="tiny")
            return web.json_response({"pools": [report.model_dump(mode="json")]})

        return [web.get("/v2/node", node), web.get("/v2/pools", pools)]


@asynccontextmanager
async def running_node(fleet, *urls, token=TOKEN, address="https://127.0.0.1:9200"):
    events = asyncio.Queue()

    def describe():
        return NodeDescription(
            machine_id="machine",
            address=address,
            capabilities=NodeCapabilities(cpu_cores=8, ram_total_bytes=2**36),
            version="0.1.0",
            pools=("chat",),
        )

    settings = RegistrationSettings(
        node_id="gpu-a", control_planes=urls, backoff_first_ms=10, backoff_max_ms=50
    )
    registering = NodeRegistration.running(
        settings,
        describe,
        token=lambda: token,
        tls=lambda: fleet.client,
        on_event=events.put_nowait,
    )
    async with registering as registration:
        reporting = HeartbeatReporter.running(
            registration.links,
            lambda: NodeReport((pool_report("chat", slots=2, model_id="tiny"),)),
            HeartbeatSettings(interval_ms=50, retry_first_ms=10),
        )
        async with reporting as reporter:
            yield Node(registration, reporter, events)


def can_place(plane):
    return plane.view.decide(Constraint(model_id="tiny")).outcome is Outcome.PLACED


async def test_a_node_that_starts_first_is_placed_on_as_soon_as_the_control_plane_is_there(
    fleet, unused_tcp_port
):
    plane = ControlPlane()
    async with running_node(fleet, f"https://127.0.0.1:{unused_tcp_port}") as node:
        await node.until(NotRegistered)
        async with listening(fleet, plane.routes(), unused_tcp_port):
            await plane.until(NodeReported)
            assert can_place(plane)
            assert await node.registration.deregister("update") == 1
            await plane.until(NodeRemoved)
            assert not can_place(plane)


async def test_a_control_plane_that_was_restarted_knows_the_node_again_at_once(
    fleet, unused_tcp_port
):
    before, after = ControlPlane(), ControlPlane()
    async with running_node(fleet, f"https://127.0.0.1:{unused_tcp_port}") as node:
        async with listening(fleet, before.routes(), unused_tcp_port):
            await before.until(NodeReported)
        async with listening(fleet, after.routes(), unused_tcp_port):
            node.reporter.report_now()
            await node.until(Forgotten)
            await after.until(NodeReported)
            assert can_place(after)
            await node.registration.deregister()


async def test_two_control_planes_know_a_node_each_on_its_own(fleet):
    one, two = ControlPlane(), ControlPlane()
    async with (
        listening(fleet, one.routes()) as first,
        listening(fleet, two.routes()) as second,
        running_node(fleet, *(f"https://127.0.0.1:{port}" for port in (first, second))),
    ):
        await one.until(NodeReported)
        await two.until(NodeReported)
        assert can_place(one)
        assert can_place(two)


async def test_a_node_with_a_wrong_token_is_not_let_in_and_says_why(fleet):
    plane = ControlPlane()
    async with (
        listening(fleet, plane.routes()) as port,
        running_node(fleet, f"https://127.0.0.1:{port}", token="x" * 32) as node,
    ):
        event = await node.until(NotRegistered)
        assert "BAD_TOKEN" in event.failure.message
        assert list(plane.registry.nodes()) == []


async def test_a_node_that_is_listed_and_registers_as_well_is_one_node(fleet):
    plane = ControlPlane()

    def take(result):
        if isinstance(result, NodePolled):
            plane.registry.polled(result.node, result.pools)
            polls.put_nowait(result)

    polls = asyncio.Queue()
    async with (
        listening(fleet, plane.routes()) as port,
        running_node(fleet, f"https://127.0.0.1:{port}") as node,
        listening(fleet, node.routes()) as node_port,
    ):
        await node.until(Registered)
        settings = PollSettings(urls=(f"https://127.0.0.1:{node_port}",), interval_ms=20)
        polling = NodeHealthPoller.running(
            settings, take, token=lambda: TOKEN, tls=lambda: fleet.client
        )
        async with polling:
            for _ in range(3):
                await polls.get()
                node.reporter.report_now()
                await plane.until(NodeReported)
        assert [known.node_id for known in plane.registry.nodes()] == ["gpu-a"]
        assert can_place(plane)
        assert plane.told.count(NodeOnline) == 1
        assert node.registration.links[0].is_registered
