"""Budgets of sessions and keys: counters that are held before a task runs and settled after."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_core.errors import AlreadySettled


class BudgetKind(StrEnum):
    """What a budget counts; the value is the field of `Spend` and of `BudgetLimits`."""

    TOKENS = "tokens"
    TIME_MS = "time_ms"
    COST_MICROS = "cost_micros"


ALL_KINDS = tuple(BudgetKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """An amount of each kind; cost in millionths of the currency unit, so that sums are exact."""

    tokens: int = 0
    time_ms: int = 0
    cost_micros: int = 0

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(
            tokens=self.tokens + other.tokens,
            time_ms=self.time_ms + other.time_ms,
            cost_micros=self.cost_micros + other.cost_micros,
        )

    def __sub__(self, other: "Spend") -> "Spend":
        return Spend(
            tokens=self.tokens - other.tokens,
            time_ms=self.time_ms - other.time_ms,
            cost_micros=self.cost_micros - other.cost_micros,
        )


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
    """An amount set aside for one running task, until `Budget.settle`."""

    __slots__ = ("amount", "open")

    def __init__(self, amount: Spend) -> None:
        self.amount = amount
        self.open = True


class Budget:
    """What one session or key may still spend."""

    __slots__ = ("held", "limits", "spent")

    def __init__(self, limits: BudgetLimits, spent: Spend | None = None) -> None:
        self.limits = limits
        self.spent = spent or Spend()
        self.held = Spend()

    def reserve(
        self, amount: Spend, *, kinds: Collection[BudgetKind] = ALL_KINDS
    ) -> Hold | Exceeded:
        """Set an estimate aside, so that tasks running at once cannot overspend together.

        A kind that is used up refuses even an estimate of 0; `kinds` are those that count here.
        """
        remaining = self.remaining
        for kind in kinds:
            left = getattr(remaining, kind)
            if left is not None and (left <= 0 or getattr(amount, kind) > left):
                return Exceeded(kind, left)
        self.held += amount
        return Hold(amount)

    def settle(self, hold: Hold, spent: Spend) -> None:
        """Replace an estimate by what was really spent, which may be more."""
        if not hold.open:
            raise AlreadySettled("a hold is settled once")
        hold.open = False
        self.held -= hold.amount
        self.spent += spent

    @property
    def remaining(self) -> BudgetLimits:
        """What is neither spent nor held, never below 0; None where there is no limit."""
        used = self.spent + self.held
        return BudgetLimits(**{kind: self._left(kind, used) for kind in BudgetKind})

    def _left(self, kind: BudgetKind, used: Spend) -> int | None:
        limit: int | None = getattr(self.limits, kind)
        return None if limit is None else max(0, limit - getattr(used, kind))
