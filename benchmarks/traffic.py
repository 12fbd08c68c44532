"""Scenarios of steady traffic: what a task and a token cost, side by side in rounds."""

import statistics
import subprocess
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from benchmarks import load, peers, places
from benchmarks.kernel import CpuMeter, memory_bytes
from benchmarks.load import Answer, Talk, latencies
from benchmarks.loops import run
from benchmarks.places import Place
from benchmarks.scale import Scale

BURST_TOKENS = 64
BURST_CLIENTS = 32
PACED_STREAMS = 128
PACED_INTERVAL_MS = 10.0
WARM_UP = 300
REFERENCES = ("nginx", "nginx, TLS", "vllm-router", "native, one request", "HOME")
"""Subjects that others are told as ratios to, where they run."""


@dataclass(slots=True)
class Subject:
    """One way through one program, and what was measured of it, a value a round."""

    name: str
    place: Place
    talk: Talk
    behind: tuple[Place, ...] = ()
    """Programs on the way that count with it."""
    cpu: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes whose time counts."""
        return self.place.pid, *(place.pid for place in self.behind)

    def note(self, cpu: float, answers: list[Answer]) -> None:
        """Keep a round."""
        good = sum(answer.good for answer in answers)
        first = latencies(answers, lambda answer: answer.first_s)
        self.cpu.append(cpu)
        self.first_ms.append(first["p50"])
        self.rows.append(
            {
                "cpu": round(cpu, 5),
                "good": good,
                "bad": len(answers) - good,
                "first_token_ms": first,
                "memory_mb": round(memory_bytes(self.place.pid) / 1e6, 1),
            }
        )


Start: TypeAlias = Callable[[ExitStack, Place], list[Subject]]
"""Starts what is compared, in front of an engine."""


def subjects(
    stack: ExitStack, engine: Place, wanted_peers: Iterable[str], tokens: int
) -> list[Subject]:
    """Start everything that is compared; what is not installed is left out."""
    found = [
        Subject("pipe", stack.enter_context(places.pipe(engine.port)), load.llamacpp(tokens)),
    ]
    try:
        nginx = stack.enter_context(peers.nginx(engine.port))
        found.append(Subject("nginx", nginx, load.llamacpp(tokens)))
    except FileNotFoundError:
        print("nginx is not installed: left out")
    for name in wanted_peers:
        try:
            place = stack.enter_context(peers.PEERS[name](engine.port))
        except (subprocess.CalledProcessError, RuntimeError, TimeoutError) as error:
            print(f"{name} does not install or start, and is left out: {error}")
        else:
            found.append(Subject(name, place, load.openai(tokens, token=peers.TOKENS.get(name))))
    ours = stack.enter_context(places.orchestratord(engine, ORCHD_ADMISSION_CAPACITY="100000"))
    found += [
        Subject("native, one request", ours, load.native(tokens)),
        Subject("native, two requests", ours, load.native(tokens, two_requests=True)),
        Subject("OpenAI", ours, load.openai(tokens)),
    ]
    return found


def burst(scale: Scale) -> dict[str, Any]:
    """64 tokens written at once, 32 clients: CPU milliseconds a task."""
    return bursts(scale, lambda stack, engine: subjects(stack, engine, scale.peers, BURST_TOKENS))


def paced(scale: Scale) -> dict[str, Any]:
    """A token each 10 ms on 128 streams at once: CPU microseconds a token."""
    tokens = scale.paced_tokens
    return paces(scale, lambda stack, engine: subjects(stack, engine, scale.peers, tokens))


def bursts(scale: Scale, start: Start) -> dict[str, Any]:
    """Measure bursts through whatever `start` starts."""

    def once(subject: Subject) -> None:
        count = scale.burst_tasks if subject.name != "litellm" else scale.burst_tasks // 20
        with CpuMeter(subject.pids) as meter:
            answers = run(
                load.closed_loop(
                    subject.place.port, subject.talk, clients=BURST_CLIENTS, count=count
                )
            )
        subject.note(1000 * meter.used_s / len(answers), answers)

    return _compare(scale, "CPU ms a task of 64 tokens", start, 0.0, once)


def paces(scale: Scale, start: Start) -> dict[str, Any]:
    """Measure paced streams through whatever `start` starts."""

    def once(subject: Subject) -> None:
        with CpuMeter(subject.pids) as meter:
            answers = run(
                load.staggered(subject.place.port, subject.talk, clients=PACED_STREAMS, over_s=0.5)
            )
        tokens = sum(answer.tokens for answer in answers)
        subject.note(1e6 * meter.used_s / max(1, tokens), answers)

    return _compare(scale, "CPU µs a paced token", start, PACED_INTERVAL_MS, once)


def _compare(
    scale: Scale, unit: str, start: Start, interval_ms: float, once: Callable[[Subject], None]
) -> dict[str, Any]:
    """Let all subjects take turns, so that a noisy minute falls on all of them."""
    with ExitStack() as stack:
        engine = stack.enter_context(places.engine(interval_ms=interval_ms))
        compared = start(stack, engine)
        if interval_ms == 0:
            for subject in compared:
                run(load.closed_loop(subject.place.port, subject.talk, clients=8, count=WARM_UP))
        compared = [subject for subject in compared if _works(subject)]
        for _ in range(scale.rounds):
            for subject in compared:
                once(subject)
        return {"unit": unit, "subjects": {s.name: _summary(s, compared) for s in compared}}


def _works(subject: Subject) -> bool:
    (answer,) = run(load.closed_loop(subject.place.port, subject.talk, clients=1, count=1))
    if not answer.good:
        print(f"{subject.name} answered {answer.status}: left out")
    return answer.good


def _summary(subject: Subject, compared: list[Subject]) -> dict[str, Any]:
    """Medians over the rounds, and ratios taken within each round."""
    by_name = {other.name: other for other in compared}
    ratios = {
        f"to {name}": round(
            statistics.median(
                mine / theirs for mine, theirs in zip(subject.cpu, by_name[name].cpu, strict=True)
            ),
            3,
        )
        for name in REFERENCES
        if name in by_name and name != subject.name
    }
    return {
        "cpu": round(statistics.median(subject.cpu), 4),
        "spread": [round(min(subject.cpu), 4), round(max(subject.cpu), 4)],
        "first_token_p50_ms": round(statistics.median(subject.first_ms), 3),
        "ratios": ratios,
        "rounds": subject.rows,
    }
