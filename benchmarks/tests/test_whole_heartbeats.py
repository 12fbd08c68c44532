"""How many steps a heartbeat takes in orchestratord as it runs: the same on a busy machine."""

from pathlib import Path

from benchmarks import load, nodes, places
from benchmarks.counted import steps
from benchmarks.loops import run
from benchmarks.places import Place

from service_registry.testing import MadeUpNode

NODES = 10
HEARTBEATS = 200


async def welcome(plane: Place, members: list[MadeUpNode]) -> None:
    connection = await load.connect(plane.port)
    await nodes.welcome(plane, members, connection)
    connection.transport.close()


async def report(plane: Place, members: list[MadeUpNode], changing: int) -> None:
    connection = await load.connect(plane.port)
    for number in range(HEARTBEATS):
        await nodes.heartbeat(connection, members[number % NODES], changing)
    connection.transport.close()


def test_a_heartbeat_takes_calls_by_what_is_new_in_it(tmp_path: Path) -> None:
    told, found = tmp_path / "calls", {}
    with places.engine() as engine, places.control_plane(counted_into=told) as plane:
        members = [MadeUpNode(f"node-{number}", engine.url) for number in range(NODES)]
        run(welcome(plane, members))
        for kind, changing in nodes.CHANGES.items():
            run(report(plane, members, changing))  # What is new but once is new now.
            found[kind] = steps(
                plane, told, HEARTBEATS, lambda n=changing: run(report(plane, members, n))
            )
    assert found["nothing new"].calls <= 70
    assert found["one pool changes"].calls <= 118
    assert found["all pools change"].calls <= 205
