"""Scenarios of standing still: memory, idle cost, starts, overload, readers that do not read."""

import asyncio
import resource
import statistics
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import load, places, watched
from benchmarks.kernel import CpuMeter, cpu_s, memory_bytes
from benchmarks.load import Connection, latencies
from benchmarks.loops import run
from benchmarks.places import Place
from benchmarks.scale import Scale

_NEVER_MS = 3_600_000.0
"""An engine that lets every stream wait for its first token."""
_OPENED_AT_ONCE = 100
_SOURCES = tuple(f"127.0.0.{number}" for number in range(1, 5))
"""One address has 28,000 ports for its connections to one other, and those just closed count."""
_FEW_SLOTS = 32


def start(scale: Scale) -> dict[str, Any]:
    """From the start to readiness without an engine; memory and CPU when idle."""
    ready_s, cpu_ms = [], []
    for _ in range(scale.starts):
        with places.orchestratord(None) as ours:
            ready_s.append(ours.ready_s)
            cpu_ms.append(1000 * cpu_s(ours.pid))
    with places.engine() as engine, places.orchestratord(engine) as ours:
        with CpuMeter((ours.pid,)) as meter:
            run(asyncio.sleep(scale.idle_s))
        return {
            "ready_s": round(statistics.median(ready_s), 3),
            "cpu_ms_to_ready": round(statistics.median(cpu_ms)),
            "idle_memory_mb": round(memory_bytes(ours.pid) / 1e6, 1),
            "idle_cpu_percent": round(100 * meter.used_s / scale.idle_s, 3),
        }


def idle_streams(scale: Scale) -> dict[str, Any]:
    """Many open event streams of one task: memory for each, and what they cost when idle.

    Here and there each is an open file; the daemon inherits the limit that is raised here.
    """
    _raise_open_files(scale.idle_streams + 1_000)
    with places.engine(interval_ms=_NEVER_MS) as engine, places.orchestratord(engine) as ours:
        before = memory_bytes(ours.pid)
        streams, used_s = run(_open_idle(ours, scale.idle_streams))
        after = streams["memory"]
        return {
            "streams": scale.idle_streams,
            "bytes_a_stream": round((after - before) / scale.idle_streams),
            "cpu_ms_to_open_one": round(1000 * streams["opening_s"] / scale.idle_streams, 4),
            "cpu_percent_when_idle": round(100 * used_s / 5.0, 2),
        }


def _raise_open_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if wanted > hard != resource.RLIM_INFINITY:
        raise RuntimeError(f"{wanted} open files are needed, and the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def _open_idle(ours: Place, count: int) -> tuple[dict[str, float], float]:
    first = await load.connect(ours.port)
    accepted = await first.ask(load.native(1, two_requests=True).request)
    location = load.LOCATION.search(accepted.data)
    assert location is not None
    request = load.events_request(location[1])
    connections: list[Connection] = []
    opening = CpuMeter((ours.pid,))
    with opening:
        while len(connections) < count:
            batch = min(_OPENED_AT_ONCE, count - len(connections))
            sources = islice(cycle(_SOURCES), batch)
            opened = await asyncio.gather(
                *(load.connect(ours.port, source=source) for source in sources)
            )
            for connection in opened:
                connection.ask(request)
            connections += opened
        await _until_begun(connections)
    with CpuMeter((ours.pid,)) as idle:
        await asyncio.sleep(5.0)
    told = {"memory": float(memory_bytes(ours.pid)), "opening_s": opening.used_s}
    for connection in connections:
        connection.transport.abort()
    return told, idle.used_s


async def _until_begun(connections: list[Connection]) -> None:
    while not all(connection.begun for connection in connections):
        await asyncio.sleep(0.05)


def queued(scale: Scale) -> dict[str, Any]:
    """Very many waiting tasks: memory for each, and whether the last costs what the first did."""
    with (
        TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
        places.engine(interval_ms=_NEVER_MS) as engine,
        places.orchestratord(
            engine,
            slots=_FEW_SLOTS,
            watched_into=(told := Path(folder, "stalls.json")),
            ORCHD_ADMISSION_CAPACITY=str(2 * scale.queued_tasks),
            ORCHD_ADMISSION_MAX_BYTES="4GiB",
        ) as ours,
    ):
        talk = load.Talk(load.native(1, two_requests=True).request)
        run(load.closed_loop(ours.port, talk, clients=16, count=2 * _FEW_SLOTS))
        before, began_s = memory_bytes(ours.pid), time.perf_counter()
        costs_ms = []
        for _ in range(10):
            with CpuMeter((ours.pid,)) as meter:
                run(load.closed_loop(ours.port, talk, clients=16, count=scale.queued_tasks // 10))
            costs_ms.append(round(1000 * meter.used_s / (scale.queued_tasks // 10), 4))
        after = memory_bytes(ours.pid)
        run(asyncio.sleep(1.5))  # The watcher tells once a second.
        report = watched.read(told, since_s=began_s)
        return {
            "tasks": scale.queued_tasks,
            "bytes_a_task": round((after - before) / scale.queued_tasks),
            "cpu_ms_a_task_by_tenth": costs_ms,
            "collections": report["collections"],
            "longest_collection_ms": report["longest_collection_ms"],
            "longest_stall": report["stalls"][0] if report["stalls"] else None,
        }


def overload(scale: Scale) -> dict[str, Any]:
    """Far more clients than slots and places: refusals are quick, cheap and typed."""
    with (
        places.engine(interval_ms=20.0) as engine,
        places.orchestratord(
            engine, slots=4, ORCHD_ADMISSION_CAPACITY="8", ORCHD_ADMISSION_POLICY="reject"
        ) as ours,
    ):
        with CpuMeter((ours.pid,)) as meter:
            answers = run(
                load.closed_loop(
                    ours.port,
                    load.native(20),
                    clients=scale.overload_clients,
                    count=scale.overload_clients * 20,
                )
            )
        refused = [answer for answer in answers if answer.status == 429]
        return {
            "statuses": dict(Counter(str(answer.status) for answer in answers)),
            "cpu_ms_an_answer": round(1000 * meter.used_s / len(answers), 4),
            "refusal_ms": latencies(refused, lambda answer: answer.total_s),
            "memory_mb": round(memory_bytes(ours.pid) / 1e6, 1),
        }


def slow_readers(scale: Scale) -> dict[str, Any]:
    """Readers that take nothing beside one that reads: it keeps its pace, and memory stays."""
    tokens = 100_000
    with places.engine() as engine, places.orchestratord(engine) as ours:
        talk = load.native(tokens)
        run(load.closed_loop(ours.port, talk, clients=1, count=3))
        alone = run(load.closed_loop(ours.port, talk, clients=1, count=5))
        if not all(answer.good for answer in alone):
            raise RuntimeError(f"the reader that reads was answered {alone[0].status}")
        before = memory_bytes(ours.pid)
        beside = run(_beside_slow_readers(ours, talk, scale.slow_readers))
        return {
            "slow_readers": scale.slow_readers,
            "kib_a_slow_reader": round(
                (memory_bytes(ours.pid) - before) / scale.slow_readers / 1024
            ),
            "total_ms_alone": latencies(alone, lambda answer: answer.total_s),
            "total_ms_beside_them": latencies(beside, lambda answer: answer.total_s),
        }


async def _beside_slow_readers(ours: Place, talk: load.Talk, count: int) -> list[load.Answer]:
    slow = [await load.connect(ours.port) for _ in range(count)]
    for connection in slow:
        connection.transport.pause_reading()
        connection.ask(talk.request)
    await asyncio.sleep(1.0)
    answers = await load.closed_loop(ours.port, talk, clients=1, count=5)
    for connection in slow:
        connection.transport.abort()
    return answers
