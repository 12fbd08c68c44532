"""Budgets of sessions and keys: counters that are held before a task runs and settled after."""

from dataclasses import dataclass
from enum import StrEnum


class BudgetKind(StrEnum):
    """What a budget counts."""

    TOKENS = "tokens"
    TIME_MS = "time_ms"
    COST = "cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """An amount of each kind; cost in millionths of the currency unit, so that sums are exact."""

    tokens: int = 0
    time_ms: int = 0
    cost_micros: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """The most that may be spent; None: no limit of this kind."""

    tokens: int | None = None
    time_ms: int | None = None
    cost_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The budget has no room for the task."""

    kind: BudgetKind
    remaining: int


class Hold:
    """An amount set aside for one running task."""

    __slots__ = ("amount", "open")

    def __init__(self, amount: Spend) -> None:
        self.amount = amount
        self.open = True


class Budget:
    """What one session or key may still spend."""

    def __init__(self, limits: BudgetLimits) -> None:
        self.limits = limits

    def reserve(self, amount: Spend) -> Hold | Exceeded:
        """Set an estimate aside, so that tasks running at once cannot overspend together."""
        raise NotImplementedError

    def settle(self, hold: Hold, spent: Spend) -> None:
        """Replace an estimate by what was really spent, which may be more."""
        raise NotImplementedError

    @property
    def remaining(self) -> BudgetLimits:
        """What is neither spent nor held, never below 0; None where there is no limit."""
        raise NotImplementedError
