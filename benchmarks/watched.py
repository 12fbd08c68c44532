"""orchestratord as it is, with somebody beside its event loop who notes what makes it stand still.

    BENCH_STALLS=FILE python -m benchmarks.watched orchestratord ARGUMENTS…

A thread asks the loop for a sign of life and waits for it. What takes longer than a stall is long
goes into the file, with what is known of its cause: the thread's own time of a core, the time in
the garbage collector, and what the loop ran when the sign came late.
"""

import asyncio
import gc
import json
import os
import runpy
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

INTERVAL_S = 0.002
STALL_S = 0.010
_KEPT = 500
_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Stall:
    """The loop took this long to answer."""

    ms: float
    on_core_ms: float
    """How long it had a core meanwhile; the rest it waited for one, or for the system."""
    collector_ms: float
    at_s: float
    """By the clock that all programs of this machine share."""
    stack: str
    """What ran, the innermost last; empty where no look was possible meanwhile."""


@dataclass(slots=True)
class Collector:
    """Times the garbage collector."""

    pauses: Counter[str] = field(default_factory=Counter)
    spent_ms: float = 0.0
    longest_ms: float = 0.0
    _began_s: float = 0.0

    def __call__(self, phase: str, info: Mapping[str, int]) -> None:
        """See `gc.callbacks`."""
        if phase == "start":
            self._began_s = time.perf_counter()
            return
        took_ms = 1000 * (time.perf_counter() - self._began_s)
        self.pauses[f"generation {info['generation']}"] += 1
        self.spent_ms += took_ms
        self.longest_ms = max(self.longest_ms, took_ms)


class Watcher:
    """Looks at one loop from beside it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, told: Path) -> None:
        self._loop = loop
        self._told = told
        self._main = threading.main_thread().ident or 0
        self._clock = time.pthread_getcpuclockid(self._main)
        self._collector = Collector()
        self._signs = 0
        self._stalls: list[Stall] = []
        gc.callbacks.append(self._collector)
        threading.Thread(target=self._watch, name="watcher", daemon=True).start()

    def _watch(self) -> None:
        next_report_s = time.perf_counter() + 1
        while not self._loop.is_closed():
            time.sleep(INTERVAL_S)
            try:
                self._look()
            except RuntimeError:
                return  # The loop has closed meanwhile.
            if time.perf_counter() > next_report_s:
                next_report_s = time.perf_counter() + 1
                self._report()

    def _look(self) -> None:
        sign = threading.Event()
        asked_s, cpu_s = time.perf_counter(), time.clock_gettime(self._clock)
        collected_ms = self._collector.spent_ms
        self._loop.call_soon_threadsafe(sign.set)
        stack = "" if sign.wait(STALL_S) else self._stack()
        sign.wait()
        took_s = time.perf_counter() - asked_s
        self._signs += 1
        if took_s < STALL_S:
            return
        stall = Stall(
            ms=round(1000 * took_s, 2),
            on_core_ms=round(1000 * (time.clock_gettime(self._clock) - cpu_s), 2),
            collector_ms=round(self._collector.spent_ms - collected_ms, 2),
            at_s=round(asked_s, 2),
            stack=stack,
        )
        self._stalls = sorted([*self._stalls, stall], key=lambda one: -one.ms)[:_KEPT]

    def _stack(self) -> str:
        frame: FrameType | None = sys._current_frames().get(self._main)
        names: list[str] = []
        while frame is not None and len(names) < _DEPTH:
            code = frame.f_code
            names.append(f"{Path(code.co_filename).stem}.{code.co_name}:{frame.f_lineno}")
            frame = frame.f_back
        return " > ".join(reversed(names))

    def _report(self) -> None:
        report: dict[str, Any] = {
            "signs": self._signs,
            "collections": dict(self._collector.pauses),
            "collector_ms": round(self._collector.spent_ms, 2),
            "longest_collection_ms": round(self._collector.longest_ms, 2),
            "stalls": [asdict(stall) for stall in self._stalls],
        }
        draft = self._told.with_suffix(".draft")
        draft.write_text(json.dumps(report))
        draft.rename(self._told)


def read(told: Path, *, since_s: float) -> dict[str, Any]:
    """What a watcher has told, with its stalls since a time of `time.perf_counter`."""
    report: dict[str, Any] = json.loads(told.read_bytes())
    stalls = [stall for stall in report["stalls"] if stall["at_s"] >= since_s]
    for stall in stalls:
        stall["at_s"] = round(stall["at_s"] - since_s, 2)
    return {**report, "stalls": stalls}


def main() -> None:
    """Run the program that the arguments name."""
    import uvloop

    told = Path(os.environ["BENCH_STALLS"])
    make_loop = uvloop.new_event_loop

    def new_event_loop() -> asyncio.AbstractEventLoop:
        loop = make_loop()
        Watcher(loop, told)
        return loop

    uvloop.new_event_loop = new_event_loop
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
