"""What the gate remembers of headers that come again and again, and what it must not."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from api_types import ApiError
from auth_min import Door, TokenSet
from http_shell import CALLER, Doors, ShortRequest
from orchestratord.http.gate import Gate

ONE, TWO = "one-token-of-more-than-32-characters", "two-tokens-of-more-than-32-characters"


@dataclass
class Rollable:
    """A token that its owner replaces."""

    tokens: TokenSet = field(default_factory=lambda: TokenSet.parse(ONE))

    def __call__(self) -> TokenSet:
        return self.tokens


@pytest.fixture
def services() -> Rollable:
    return Rollable()


@pytest.fixture
def gate(services: Rollable) -> Gate:
    keys = Rollable(TokenSet.parse_keys(f"alice:{TWO}"))
    return Gate(
        Doors.of("127.0.0.1"),
        clients=Door(keys, services, optional_on_loopback=True),
        services=Door(services, keys, optional_on_loopback=True),
    )


class Sender:
    """Sends the same headers each time."""

    def __init__(self, gate: Gate, **headers: str) -> None:
        self._gate = gate
        self._headers = CIMultiDictProxy(CIMultiDict({"Host": "127.0.0.1", **headers}))
        self._shared: dict[Any, Any] = {}

    def calls(self, path: str, *, peer: str = "127.0.0.1") -> str:
        """Call a path; who is taken to have called, or the code of the refusal."""
        request = ShortRequest("POST", path, self._headers, b"", peer, self._shared)
        try:
            self._gate.admit(cast("web.BaseRequest", request))
        except ApiError as error:
            return str(error.code)
        return str(request[CALLER])


def test_a_token_that_is_replaced_opens_nothing_more_whoever_came_in_with_it(
    gate: Gate, services: Rollable
) -> None:
    node = Sender(gate, Authorization=f"Bearer {ONE}")
    known = services.tokens
    name = node.calls("/v2/nodes/gpu-a/heartbeat")
    assert name == node.calls("/v2/nodes/gpu-b/heartbeat")
    services.tokens = TokenSet.parse(TWO[::-1])
    assert node.calls("/v2/nodes/gpu-a/heartbeat") == "BAD_TOKEN"
    services.tokens = known
    assert node.calls("/v2/nodes/gpu-a/heartbeat") == name


def test_headers_that_open_one_door_do_not_open_the_other(gate: Gate) -> None:
    node, alice = (Sender(gate, Authorization=f"Bearer {secret}") for secret in (ONE, TWO))
    for _ in range(2):
        assert node.calls("/v2/nodes/gpu-a/heartbeat") not in ("FORBIDDEN", "key:alice")
        assert node.calls("/v2/tasks") == "FORBIDDEN"
        assert alice.calls("/v2/tasks") == "key:alice"
        assert alice.calls("/v2/nodes/gpu-a/heartbeat") == "FORBIDDEN"


def test_who_needs_no_credential_on_this_machine_needs_one_from_another(gate: Gate) -> None:
    nobody = Sender(gate)
    assert nobody.calls("/v2/tasks") == "localhost"
    assert nobody.calls("/v2/tasks", peer="10.0.0.9") == "MISSING_TOKEN"
    assert nobody.calls("/v2/tasks") == "localhost"
