"""What single operations cost, and how that grows: asserted as ratios, told in microseconds."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from admission_coordinator.frames import TokenFrame, native
from api_types import Priority, parse_json
from benchmarks.engine import NativeStream
from benchmarks.nodes import pools
from benchmarks.scale import Scale
from multi_node_placement import ClusterView, Measured, PrefixScorer, Work, blocks_of
from orchestrator_core import (
    Constraint,
    ModelQueue,
    PlacementInput,
    QueuedTask,
    QueueLimits,
    ReplicaIndex,
    ReplicaKey,
    ReplicaView,
    decide,
)
from pool_registry_types import HealthState
from service_discovery_types import HeartbeatRequest
from service_registry import Refused, ServiceRegistry
from service_registry.testing import MadeUpNode
from worker_http import SseDecoder

SIZES = (10, 100, 1_000, 10_000)
QUEUE_SIZES = (100, 1_000, 10_000, 100_000)
NODES = (10, 100, 1_000)
REPETITIONS = 2_000
HEARTBEATS = 100
SNAPSHOTS = 10
ROUNDS = 7
MODEL = "bench"
LANE = Constraint(model_id=MODEL, workload="completion")


def best_us(operation: Callable[[], object], repetitions: int = REPETITIONS) -> float:
    """CPU microseconds of one call: the best of some rounds, for noise only ever adds."""
    rounds = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for _ in range(repetitions):
            operation()
        rounds.append((time.process_time() - began_s) / repetitions)
    return 1e6 * min(rounds)


def replicas(size: int) -> Iterator[ReplicaView]:
    """So many ready replicas on so many nodes."""
    for number in range(size):
        yield ReplicaView(
            key=ReplicaKey(f"node-{number:05}", "default", "0"),
            engine="llamacpp",
            state=HealthState.READY,
            model_id=MODEL,
            slots_total=4,
            vram_free_bytes=number,
        )


def decide_us(size: int) -> float:
    """One placement among `size` replicas, half of which are full."""
    index = ReplicaIndex()
    for number, view in enumerate(replicas(size)):
        index.put(view, 4 * (number % 2))
    wanted = PlacementInput(constraint=LANE, replicas=index)
    return best_us(lambda: decide(wanted))


def place_us(size: int) -> float:
    """Choose, reserve and release among `size` replicas."""
    index = ReplicaIndex()
    for view in replicas(size):
        index.put(view, 0)
    cluster = ClusterView()
    cluster._index = index

    def once() -> None:
        cluster.release(cluster.reserve(cluster.decide(LANE)))

    return best_us(once)


def score_us(size: int) -> float:
    """One placement by the prefix scorer among `size` replicas, each warm in a part of it."""
    cluster = ClusterView(scorer=PrefixScorer())
    cluster._index = ReplicaIndex(replicas(size))
    prompt = "what every task begins with, " * 1_000
    shared = Work(model_id=MODEL, chars=len(prompt), blocks=blocks_of(prompt))
    took = Measured(
        chars=len(prompt),
        tokens_in=len(prompt) // 4,
        tokens_cached=0,
        tokens_out=100,
        prefill_s=1.0,
        decode_s=1.0,
    )
    for number, view in enumerate(list(cluster._index), 1):
        part = replace(shared, blocks=shared.blocks[: number % len(shared.blocks)])
        on_it = Constraint(model_id=MODEL, workload="completion", node_id=view.key.node_id)
        held = cluster.reserve(cluster.decide(on_it), work=part)
        cluster.finished(held, part, took)
        cluster.release(held)
    return best_us(lambda: cluster.decide(LANE, work=shared), REPETITIONS // 10)


def waiting(size: int) -> tuple[ModelQueue, Callable[[], str]]:
    """Make a queue of so many tasks, and what lets one more wait and names it."""
    queue = ModelQueue(QueueLimits(capacity=4 * size))
    numbers = count(1)

    def offer() -> str:
        number = next(numbers)
        task_id = str(number)
        queue.offer(
            QueuedTask(
                task_id=task_id,
                number=number,
                priority=Priority.INTERACTIVE,
                identity="local",
                constraint=LANE,
                enqueued_ms=number,
            )
        )
        return task_id

    for _ in range(size):
        offer()
    return queue, offer


def queue_us(size: int) -> float:
    """Enqueue, take and cancel one task beside `size` waiting ones."""
    queue, offer = waiting(size)

    def once() -> None:
        queue.cancel(offer())
        offer()
        queue.take(lambda _: True, 0)

    return best_us(once)


def position_us(size: int) -> float:
    """Tell the place of a task that has just come beside `size` waiting ones."""
    queue, offer = waiting(size)
    newest = offer()
    return best_us(lambda: queue.position(newest))


def heartbeat_us(nodes: int) -> float:
    """Take one node's report of its pools, from its bytes to what placement sees."""
    cluster = ClusterView()
    registry = ServiceRegistry(lambda _event: None)
    members = [MadeUpNode(f"node-{number:05}") for number in range(nodes)]
    for member in members:
        registry.register(member.register())
        report(registry, cluster, heartbeat_bytes(member))
    # As many as are measured, made before: a node's message is its newest once only.
    messages = iter([heartbeat_bytes(members[0]) for _ in range(ROUNDS * HEARTBEATS)])
    return best_us(lambda: report(registry, cluster, next(messages)), HEARTBEATS)


def report(registry: ServiceRegistry, cluster: ClusterView, raw: bytes) -> None:
    """What a heartbeat leads to behind the HTTP server."""
    message = parse_json(HeartbeatRequest, raw)
    if isinstance(refused := registry.heartbeat(message), Refused):
        raise RuntimeError(refused.message)
    cluster.apply_report(message.node_id, message.pools, labels={}, online=True)


def heartbeat_bytes(node: MadeUpNode) -> bytes:
    """The next report of a node with its five pools."""
    return node.heartbeat(*pools(node.seq)).model_dump_json().encode()


def snapshot_us(nodes: int) -> float:
    """List all nodes as they stand."""
    registry = ServiceRegistry(lambda _event: None)
    for number in range(nodes):
        registry.register(MadeUpNode(f"node-{number:05}").register())
    return best_us(lambda: [node.info() for node in registry.nodes()], SNAPSHOTS)


def encode_us(tokens: int) -> float:
    """One native frame with the text of so many tokens."""
    frame = TokenFrame(" word" * tokens, 0, tokens)
    return best_us(lambda: native(17, frame))


def decode_us(tokens: int) -> float:
    """Split one read of the engine's stream that brought so many tokens."""
    data = NativeStream.token.split(b"\r\n")[1] * tokens
    return best_us(lambda: SseDecoder().feed(data))


CURVES: dict[str, tuple[Callable[[int], float], tuple[int, ...]]] = {
    "decide, by replicas": (decide_us, SIZES),
    "decide, reserve and release, by replicas": (place_us, SIZES),
    "decide with the prefix scorer, by replicas": (score_us, SIZES),
    "enqueue twice, take and cancel, by waiting tasks": (queue_us, QUEUE_SIZES),
    "tell the newest task's place, by waiting tasks": (position_us, QUEUE_SIZES),
    "heartbeat of five pools, by nodes": (heartbeat_us, NODES),
    "list all nodes, by nodes": (snapshot_us, NODES),
    "encode a frame, by tokens in it": (encode_us, (1, 4, 16, 64)),
    "decode a read, by tokens in it": (decode_us, (1, 4, 16, 64)),
}
"""Name → what is measured, and at which sizes."""


def growth(measure: Callable[[int], float], small: int, large: int) -> float:
    """How many times more the large size costs; the median of three comparisons."""
    return statistics.median(measure(large) / measure(small) for _ in range(3))


def micro(_scale: Scale) -> dict[str, Any]:
    """All curves, in CPU microseconds."""
    return {
        name: {str(size): round(measure(size), 3) for size in sizes}
        for name, (measure, sizes) in CURVES.items()
    }
