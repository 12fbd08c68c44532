"""How fast this Python is here and now: what its build and the machine make of the same steps."""

import time

_STEPS = 200_000
_ROUNDS = 5


class _Counted:
    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def add(self, number: int) -> int:
        self.total += number
        return self.total


def step_ns() -> float:
    """Return the CPU time of one step: a method called, a list and a dict looked into; the best."""
    return min(_round_ns() for _ in range(_ROUNDS))


def _round_ns() -> float:
    counted, seen, places = _Counted(), dict[int, int](), list(range(64))
    began_ns = time.process_time_ns()
    for number in range(_STEPS):
        seen[places[number & 63]] = counted.add(number)
    return round((time.process_time_ns() - began_ns) / _STEPS, 1)
