"""Very many nodes that report to one control plane over HTTP, as their programs do."""

import asyncio
from typing import Any

from benchmarks import load, places
from benchmarks.engine import MODEL
from benchmarks.kernel import CpuMeter, cpu_s, memory_bytes
from benchmarks.load import Connection, latencies
from benchmarks.loops import run
from benchmarks.places import SERVICE_TOKEN, Place
from benchmarks.scale import Scale
from pool_registry_types import HealthState, HealthStatus, PoolSnapshot, ReplicaSnapshot
from service_registry.testing import MadeUpNode

POOLS_A_NODE = 5
HEARTBEAT_S = 10.0
CONNECTIONS = 20


CHANGES = {"nothing new": 0, "one pool changes": 1, "all pools change": POOLS_A_NODE}
"""How many pools of a node have other free slots and memory in each of its reports."""


def heartbeats(scale: Scale) -> dict[str, Any]:
    """Nodes with five pools each report at the default interval: the share of a core it takes."""
    with places.engine() as engine, places.control_plane() as ours:
        members = [MadeUpNode(f"node-{n:05}", engine.url) for n in range(scale.nodes)]
        return run(_reported(ours, members, scale))


def pools(number: int, changing: int = POOLS_A_NODE) -> tuple[PoolSnapshot, ...]:
    """What a node says in its report of this number, where so many of its pools change."""
    return tuple(
        _pool(f"pool-{n}", busy=(n + (number if n < changing else 0)) % 4)
        for n in range(POOLS_A_NODE)
    )


def _pool(pool_id: str, *, busy: int) -> PoolSnapshot:
    slots = {"slots_total": 4, "slots_free": 4 - busy, "active_leases": busy}
    health = HealthStatus(live=True, ready=True, draining=False, state=HealthState.READY)
    replica = ReplicaSnapshot(
        replica_id="0",
        health=health,
        engine_version="mock",
        model_id=MODEL,
        ctx_max=4096,
        generation=1,
        **slots,
    )
    return PoolSnapshot(
        pool_id=pool_id,
        live=True,
        ready=True,
        draining=False,
        vram_total_bytes=80 * 2**30,
        vram_free_bytes=2**30 * (40 + busy),
        engine="llamacpp",
        model_id=MODEL,
        state=HealthState.READY,
        replicas=(replica,),
        **slots,
    )


async def _reported(ours: Place, members: list[MadeUpNode], scale: Scale) -> dict[str, Any]:
    connections = [await load.connect(ours.port) for _ in range(CONNECTIONS)]
    await welcome(ours, members, connections[0])
    told: dict[str, Any] = {"nodes": len(members), "pools": len(members) * POOLS_A_NODE}
    for kind, changing in CHANGES.items():
        for member in members:
            await heartbeat(connections[0], member, changing)
        await _until_idle(ours)
        told[kind] = await _paced(ours, members, connections, changing, scale)
    with CpuMeter((ours.pid,)) as silent:
        await asyncio.sleep(HEARTBEAT_S / 2)
    for connection in connections:
        connection.transport.close()
    told["cpu_percent_without_heartbeats"] = round(100 * silent.used_s / (HEARTBEAT_S / 2), 2)
    told["memory_mb"] = round(memory_bytes(ours.pid) / 1e6, 1)
    return told


async def welcome(ours: Place, members: list[MadeUpNode], connection: Connection) -> None:
    """Register nodes, and wait until their engines have been asked what they can do."""
    for member in members:
        await _post(connection, "/v2/nodes/register", member.register().model_dump_json())
        await heartbeat(connection, member, 0)
    await _until_idle(ours)


async def _paced(
    ours: Place,
    members: list[MadeUpNode],
    connections: list[Connection],
    changing: int,
    scale: Scale,
) -> dict[str, Any]:
    every_s = HEARTBEAT_S / len(members)
    loop = asyncio.get_running_loop()
    answers: list[load.Answer] = []
    began_s = loop.time()
    with CpuMeter((ours.pid,)) as meter:
        for number in range(int(scale.nodes_s / every_s)):
            due_s = began_s + number * every_s
            if (wait_s := due_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            connection, member = connections[number % CONNECTIONS], members[number % len(members)]
            answers.append(await heartbeat(connection, member, changing))
        await asyncio.sleep(max(0.0, began_s + scale.nodes_s - loop.time()))
        took_s = loop.time() - began_s
    return {
        "seconds": round(took_s, 1),
        "cpu_percent_of_a_core": round(100 * meter.used_s / took_s, 2),
        "cpu_ms_a_heartbeat": round(1000 * meter.used_s / len(answers), 4),
        "answer_ms": latencies(answers, lambda answer: answer.total_s),
    }


async def _until_idle(ours: Place) -> None:
    while True:
        before_s = cpu_s(ours.pid)
        await asyncio.sleep(1.0)
        if cpu_s(ours.pid) - before_s < 0.05:
            return


async def heartbeat(connection: Connection, member: MadeUpNode, changing: int) -> load.Answer:
    """Have a node report."""
    message = member.heartbeat(*pools(member.seq, changing))
    path = f"/v2/nodes/{member.node_id}/heartbeat"
    return await _post(connection, path, message.model_dump_json())


async def _post(connection: Connection, path: str, body: str) -> load.Answer:
    answer = await connection.ask(
        load.request_bytes("POST", path, body.encode(), token=SERVICE_TOKEN)
    )
    if answer.status != 200:
        raise RuntimeError(f"{path} answered {answer.status}: {answer.data!r}")
    return answer
