"""What the short way remembers of heads that come again and again, and what it must not."""

from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web

from api_types import ROUTES
from auth_min import Door, TokenSet, TokenSource, fixed
from http_shell import CORRELATION_HEADER, Call, Doors, Edge, ErrorMap, ShortReader, ShortRequest
from orchestratord.http.gate import Gate
from orchestratord.http.handlers import Context
from orchestratord.http.node_routes import NODE_ROUTES
from orchestratord.http.rounds import Rounds
from orchestratord.http.short import ShortRoute, ShortRoutes

ONE, TWO = "one-token-of-more-than-32-characters", "two-tokens-of-more-than-32-characters"
TASKS, EVENTS = "/v2/tasks", "/v2/tasks/00000000-0000-0000-0000-000000000000/events"
NODES = "/v2/nodes/gpu-a/heartbeat"
MAX_BODY_BYTES = 100


@dataclass
class Rollable:
    """A token that its owner replaces."""

    tokens: TokenSet = field(default_factory=lambda: TokenSet.parse(ONE))

    def __call__(self) -> TokenSet:
        return self.tokens


class Quiet:
    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        pass


class Connection:
    """Collects what is written to it."""

    on_flow = None
    writing_paused = False

    def __init__(self) -> None:
        self.transport = self
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def answered(self) -> None:
        pass


@dataclass
class Told:
    """What a handler was told of a request."""

    identity: str
    correlation_id: str
    known: bool
    """Nobody had to look at the head again."""


class Server:
    """The short way with routes that tell who has called."""

    def __init__(self, services: TokenSource) -> None:
        keys = fixed(TokenSet.parse_keys(f"alice:{TWO}"))
        gate = Gate(
            Doors.of("127.0.0.1", cors_origins=["https://ui.example"]),
            clients=Door(keys, services, optional_on_loopback=True),
            services=Door(services, keys, optional_on_loopback=True),
        )
        context = Context(
            services=cast("Any", None),
            node_id="node",
            device_policy="any",
            version="0",
            routes=(),
            started_ms=0,
            max_body_bytes=MAX_BODY_BYTES,
            keep_alive_s=15,
            stall_limit_s=600,
            rounds=Rounds(1),
        )
        self._way = ShortRoutes(
            context,
            Edge(gate, Quiet(), ErrorMap()),
            [
                ShortRoute(route, self._begin, read=lambda raw: raw)
                for route in (*ROUTES, *NODE_ROUTES)
                if route.operation_id in ("create_task", "heartbeat_node", "stream_task_events")
            ],
        )
        self._reader = ShortReader(self._way.knows)
        self._call: Call[Any, Any]
        self.heads: list[str] = []
        """Of all answers."""

    def _begin(self, _context: Context, call: Call[Any, Any]) -> web.Response:
        self._call = call
        return web.Response(text="done")

    def asked(
        self,
        path: str,
        *headers: str,
        peer: str = "127.0.0.1",
        body: str = "{}",
        method: str = "POST",
    ) -> Told | None:
        """Ask; None where it is left to aiohttp."""
        kind = () if method == "GET" else ("Content-Type: application/json",)
        length = f"Content-Length: {len(body)}"
        lines = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *kind, *headers, length)
        raw = "\r\n".join(lines).encode() + b"\r\n\r\n" + body.encode()
        request = self._reader.read(raw, peer)
        assert isinstance(request, ShortRequest)
        before = request.form.passage
        connection = Connection()
        if self._way.begin(request, connection) is None:
            return None
        known = before is not None and request.form.passage is before
        call = self._call
        self.heads.append(connection.written.decode())
        assert f"{CORRELATION_HEADER}: {call.correlation_id}\r\n" in self.heads[-1]
        return Told(call.identity, call.correlation_id, known)


def identity(told: Told | None) -> str | None:
    return None if told is None else told.identity


def test_a_head_is_looked_at_once_whatever_varies_in_it() -> None:
    server = Server(fixed(TokenSet()))
    traced = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    first, again = server.asked(TASKS), server.asked(TASKS, body='{"longer": 1}')
    assert first is not None
    assert again is not None
    assert (first.known, again.known) == (False, True)
    assert first.correlation_id != again.correlation_id
    named = [server.asked(TASKS, f"X-Correlation-Id: c-{n}", traced) for n in range(2)]
    assert [told and (told.correlation_id, told.known) for told in named] == [
        ("c-0", False),
        ("c-1", True),
    ]
    other = server.asked(TASKS, "X-Other: 1")
    assert other is not None
    assert not other.known


def test_a_token_that_is_replaced_opens_nothing_more_whoever_came_in_with_it() -> None:
    services = Rollable()
    server = Server(services)
    bearer, known = f"Authorization: Bearer {ONE}", services.tokens
    name = identity(server.asked(NODES, bearer))
    again = server.asked(NODES, bearer)
    assert again is not None
    assert (again.known, again.identity) == (True, name)
    services.tokens = TokenSet.parse(TWO[::-1])
    assert server.asked(NODES, bearer) is None
    services.tokens = known
    assert identity(server.asked(NODES, bearer)) == name


def test_what_opens_one_door_does_not_open_the_other() -> None:
    server = Server(fixed(TokenSet.parse(ONE)))
    node, alice = (f"Authorization: Bearer {secret}" for secret in (ONE, TWO))
    for _ in range(2):
        assert identity(server.asked(NODES, node)) not in (None, "key:alice")
        assert server.asked(TASKS, node) is None
        assert identity(server.asked(TASKS, alice)) == "key:alice"
        assert server.asked(NODES, alice) is None


def test_who_needs_no_credential_on_this_machine_needs_one_from_another() -> None:
    server = Server(fixed(TokenSet.parse(ONE)))
    for _ in range(2):
        assert identity(server.asked(TASKS)) == "localhost"
        assert server.asked(TASKS, peer="10.0.0.9") is None


def test_a_body_is_within_the_limit_whatever_was_let_in_before() -> None:
    server = Server(fixed(TokenSet()))
    assert server.asked(TASKS) is not None
    assert server.asked(TASKS, body="x" * MAX_BODY_BYTES) is not None
    assert server.asked(TASKS, body="x" * (MAX_BODY_BYTES + 1)) is None


def test_a_head_that_came_without_a_body_lets_in_none_of_an_unknown_type() -> None:
    server = Server(fixed(TokenSet()))
    for _ in range(2):
        assert server.asked(EVENTS, method="GET", body="") is not None
        assert server.asked(EVENTS, method="GET", body="{}") is None


def test_a_page_that_may_call_is_told_so_each_time_and_another_one_never_gets_in() -> None:
    server = Server(fixed(TokenSet()))
    for _ in range(2):
        assert server.asked(TASKS, "Origin: https://ui.example") is not None
        assert "Access-Control-Allow-Origin: https://ui.example" in server.heads[-1]
        assert server.asked(TASKS) is not None
        assert "Access-Control" not in server.heads[-1]
        assert server.asked(TASKS, "Origin: https://elsewhere.example") is None
