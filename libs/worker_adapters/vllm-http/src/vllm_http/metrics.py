"""The two numbers of vLLM's `/metrics` that say what it works on."""

import re
from typing import NamedTuple

_SAMPLE = re.compile(
    rb"^vllm:num_requests_(running|waiting)(?:\{[^}\n]*\})? ([0-9.eE+]+)", re.MULTILINE
)


class EngineLoad(NamedTuple):
    """What one vLLM has to do now, over all its engine processes."""

    running: int
    waiting: int


def engine_load(metrics: bytes) -> EngineLoad | None:
    """Read the exposition; None where vLLM was told to count nothing."""
    totals: dict[bytes, float] = {}
    for name, value in _SAMPLE.findall(metrics):
        totals[name] = totals.get(name, 0.0) + float(value)
    if b"running" not in totals:
        return None
    return EngineLoad(int(totals[b"running"]), int(totals.get(b"waiting", 0.0)))
