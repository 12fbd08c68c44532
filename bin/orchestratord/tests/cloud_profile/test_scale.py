"""What hearing a node with five pools costs, counted in calls: the same on a busy machine."""

import asyncio
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from orchestrator_core import Constraint, Outcome
from orchestratord.access import Access
from service_registry.testing import MadeUpNode

from .conftest import cloud_settings
from .plane import Plane, ready

POOLS = 5


async def calls_of_a_heartbeat(folder: Path, nodes: int, *, busy: tuple[int, ...]) -> int:
    """Count the Python functions that run for one more report, until placement knows."""
    plane = Plane(Access(cloud_settings(folder)))
    following = asyncio.create_task(plane.feed.run())
    members = [MadeUpNode(f"gpu-{number:04}") for number in range(nodes)]
    for member in members:
        await plane.know(member, *(ready(f"pool-{number}") for number in range(POOLS)))
    body = members[nodes // 2].heartbeat(
        *(ready(f"pool-{number}", busy=taken) for number, taken in enumerate(busy))
    )
    raw = body.model_dump_json().encode()
    seen = 0

    def note(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal seen
        seen += event == "call"

    sys.setprofile(note)
    try:
        plane.heartbeats.hear(body.node_id, raw)
        await plane.feed.caught_up()
    finally:
        sys.setprofile(None)
    assert plane.cluster.decide(Constraint(model_id="tiny")).outcome is Outcome.PLACED
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return seen


@pytest.mark.parametrize(
    ("busy", "most"),
    [((0, 0, 0, 0, 0), 65), ((0, 0, 0, 0, 1), 92), ((1, 1, 1, 1, 1), 128)],
    ids=["nothing new", "one pool changes", "all pools change"],
)
async def test_what_a_report_costs_goes_by_what_is_new_in_it(
    tmp_path: Path, busy: tuple[int, ...], most: int
) -> None:
    assert await calls_of_a_heartbeat(tmp_path, 3, busy=busy) <= most


async def test_a_report_of_one_of_many_nodes_takes_the_calls_of_one_of_few(tmp_path: Path) -> None:
    everything = (1,) * POOLS
    few = await calls_of_a_heartbeat(tmp_path, 3, busy=everything)
    assert await calls_of_a_heartbeat(tmp_path, 300, busy=everything) <= few
