"""Whom a node lets in whoever they are, so that they need not be asked again."""

import pytest

from auth_min import Door, TokenSet, fixed
from pool_managerd.http import NodeGate

from .daemons import TOKEN

SHOWN = {"Authorization": f"Bearer {TOKEN}"}
OPENS = fixed(TokenSet.parse(TOKEN))


def test_a_token_opens_to_whoever_shows_it() -> None:
    gate = NodeGate(Door(OPENS, optional_on_loopback=True), "127.0.0.1")
    assert gate.opens_to(SHOWN)
    assert gate.standing() is gate.standing()


@pytest.mark.parametrize(
    ("door", "headers"),
    [
        (Door(OPENS), {}),
        (Door(OPENS), {"Authorization": "Bearer another"}),
        (Door(OPENS), {**SHOWN, "X-API-Key": "another"}),
        (Door(OPENS), {**SHOWN, "Origin": "http://a"}),
        # These are let in for where they come from, if they are.
        (Door(OPENS, optional_on_loopback=True), {}),
        (Door(fixed(TokenSet()), optional_on_loopback=True), SHOWN),
    ],
)
def test_nothing_else_opens_to_just_anybody(door: Door, headers: dict[str, str]) -> None:
    assert not NodeGate(door, "127.0.0.1").opens_to(headers)
