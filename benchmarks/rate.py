"""A steady rate: latencies by stage, memory as time passes, the longest stalls and their causes."""

import asyncio
import socket
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import load, places, watched
from benchmarks.exposition import Histogram, histograms
from benchmarks.kernel import CpuMeter, memory_bytes
from benchmarks.load import Answer, Talk, latencies
from benchmarks.loops import run
from benchmarks.places import Place
from benchmarks.scale import Scale

SHORT_TOKENS = 16
SLOW_TOKENS = 2_000
SMALL_BUFFER_BYTES = 4096
"""What the kernel takes for a slow reader: the daemon has to keep the rest."""
WARM_UP = 300
STAGES = {
    "admission": "orchd_admission_latency_ms",
    "placement": "orchd_placement_latency_ms",
    "bind and hand-over": "orchd_dispatch_latency_ms",
}
"""Stage → the daemon's own histogram of it."""


def rate(scale: Scale) -> dict[str, Any]:
    """So many tasks a second, slow readers among them, and as many as a closed loop takes."""
    talk = load.native(SHORT_TOKENS)
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        told = Path(folder, "stalls.json")
        with (
            places.engine() as engine,
            places.orchestratord(
                engine,
                ORCHD_ADMISSION_CAPACITY="100000",
                watched_into=told,
            ) as ours,
        ):
            run(load.closed_loop(ours.port, talk, clients=8, count=WARM_UP))
            began_s = time.perf_counter()
            steady = run(_steady(ours, talk, scale))
            steady["event_loop"] = _stalls(watched.read(told, since_s=began_s))
            return {"open loop": steady, "closed loop": _closed(ours, talk, scale)}


async def _steady(ours: Place, talk: Talk, scale: Scale) -> dict[str, Any]:
    before = await _stages(ours)
    memory: list[float] = []
    async with asyncio.TaskGroup() as group:
        beside = [
            group.create_task(_note_memory(ours, memory, scale.rate_s / 60)),
            group.create_task(_read_slowly(ours, scale.slow_readers)),
        ]
        with CpuMeter((ours.pid,)) as meter:
            answers = await load.open_loop(
                ours.port, talk, rate_per_s=scale.rate_per_s, seconds=scale.rate_s
            )
        for task in beside:
            task.cancel()
    await asyncio.sleep(1.5)  # The watcher tells once a second.
    after = await _stages(ours)
    # What the load could no longer ask for took neither time nor CPU.
    good = [answer for answer in answers if answer.good]
    return {
        "asked_per_s": scale.rate_per_s,
        "seconds": scale.rate_s,
        "slow_readers": scale.slow_readers,
        "good": len(good),
        "bad": len(answers) - len(good),
        "cpu_ms_a_task": round(1000 * meter.used_s / max(1, len(good)), 4),
        "stages_ms": {name: after[name].since(before[name]).summary() for name in STAGES},
        "first_token_ms": latencies(good, lambda answer: answer.first_s),
        "total_ms": latencies(good, lambda answer: answer.total_s),
        "load_was_late_ms": latencies(good, lambda answer: answer.late_s),
        "memory_mb": _trend(memory),
    }


async def _stages(ours: Place) -> Mapping[str, Histogram]:
    connection = await load.connect(ours.port)
    answer = await connection.ask(load.request_bytes("GET", "/metrics"))
    connection.transport.close()
    found = histograms(answer.data.decode())
    return {name: found.get(metric, Histogram()) for name, metric in STAGES.items()}


async def _note_memory(ours: Place, memory: list[float], every_s: float) -> None:
    while True:
        memory.append(round(memory_bytes(ours.pid) / 1e6, 1))
        await asyncio.sleep(every_s)


async def _read_slowly(ours: Place, count: int) -> None:
    """Keep so many streams open that nobody reads, and put a new one in place each second."""
    if not count:
        return
    slow: list[load.Connection] = []
    try:
        while True:
            connection = await load.connect(ours.port)
            connection.transport.pause_reading()
            mine = connection.transport.get_extra_info("socket")
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
            connection.ask(load.native(SLOW_TOKENS).request)
            slow.append(connection)
            if len(slow) > count:
                slow.pop(0).transport.abort()
                await asyncio.sleep(1.0)
    finally:
        for connection in slow:
            connection.transport.abort()


def _trend(memory: list[float]) -> dict[str, float]:
    """Memory at the start, and in the second quarter and the last, when all pools are warm."""
    quarter = max(1, len(memory) // 4)
    return {
        "first": memory[0],
        "second_quarter": round(statistics.median(memory[quarter : 2 * quarter] or memory), 1),
        "last_quarter": round(statistics.median(memory[-quarter:]), 1),
        "highest": max(memory),
    }


def _stalls(report: Mapping[str, Any]) -> dict[str, Any]:
    """The longest stalls, and the longest of those in which the loop itself was busy."""
    stalls = report["stalls"]
    busy = max(stalls, key=lambda stall: stall["on_core_ms"], default=None)
    return {
        "over_10_ms": len(stalls),
        "over_50_ms": sum(stall["ms"] > 50 for stall in stalls),
        "longest": stalls[:5],
        "longest_on_a_core": busy,
        "longest_collection_ms": report["longest_collection_ms"],
        "collections": report["collections"],
    }


def _closed(ours: Place, talk: Talk, scale: Scale) -> dict[str, Any]:
    with CpuMeter((ours.pid,)) as meter:
        answers: list[Answer] = run(
            load.closed_loop(ours.port, talk, clients=64, count=scale.burst_tasks)
        )
    per_task_s = meter.used_s / len(answers)
    return {
        "cpu_ms_a_task": round(1000 * per_task_s, 4),
        "tasks_per_s_of_one_core": round(1 / per_task_s),
    }
