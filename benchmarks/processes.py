"""What a second process beside the first could bring at most: two daemons that share nothing."""

import asyncio
import time
from contextlib import ExitStack
from typing import Any

from benchmarks import load, places
from benchmarks.kernel import CpuMeter, memory_bytes
from benchmarks.load import Answer, Talk
from benchmarks.loops import run
from benchmarks.places import Place
from benchmarks.scale import Scale

CLIENTS = 64
TOKENS = 16
WARM_UP = 300
COUNTS = (1, 2)


def processes(scale: Scale) -> dict[str, Any]:
    """As many tasks as one daemon takes, and two: what is shared would only make it less."""
    return {str(count): _of(count, scale) for count in COUNTS}


def _of(count: int, scale: Scale) -> dict[str, Any]:
    talk = load.native(TOKENS)
    with ExitStack() as stack:
        engine = stack.enter_context(places.engine())
        daemons = [
            stack.enter_context(places.orchestratord(engine, ORCHD_ADMISSION_CAPACITY="100000"))
            for _ in range(count)
        ]
        run(_through(daemons, talk, WARM_UP))
        began_s = time.perf_counter()
        with (
            CpuMeter(tuple(daemon.pid for daemon in daemons)) as theirs,
            CpuMeter((engine.pid,)) as engines,
        ):
            answers = run(_through(daemons, talk, scale.burst_tasks))
        took_s = time.perf_counter() - began_s
        return {
            "tasks_per_s": round(len(answers) / took_s),
            "cpu_ms_a_task": round(1000 * theirs.used_s / len(answers), 4),
            "cores_used": round(theirs.used_s / took_s, 2),
            "cores_used_by_the_engine": round(engines.used_s / took_s, 2),
            "bad": sum(not answer.good for answer in answers),
            "memory_mb": round(sum(memory_bytes(daemon.pid) for daemon in daemons) / 1e6, 1),
        }


async def _through(daemons: list[Place], talk: Talk, count: int) -> list[Answer]:
    """Spread clients and tasks over the daemons, as one port for all of them would."""
    shares = await asyncio.gather(
        *(
            load.closed_loop(
                daemon.port,
                talk,
                clients=CLIENTS // len(daemons),
                count=count // len(daemons),
            )
            for daemon in daemons
        )
    )
    return [answer for share in shares for answer in share]
