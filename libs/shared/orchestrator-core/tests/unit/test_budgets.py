"""A budget is never overspent by tasks that run at once."""

import pytest

from orchestrator_core import (
    AlreadySettled,
    Budget,
    BudgetKind,
    BudgetLimits,
    Exceeded,
    Hold,
    Spend,
)


def test_a_hold_counts_until_it_is_settled_by_what_was_really_spent():
    budget = Budget(BudgetLimits(tokens=100, time_ms=1_000))
    hold = budget.reserve(Spend(tokens=60))
    assert isinstance(hold, Hold)
    assert budget.remaining == BudgetLimits(tokens=40, time_ms=1_000)
    assert budget.reserve(Spend(tokens=41)) == Exceeded(BudgetKind.TOKENS, 40)
    budget.settle(hold, Spend(tokens=10, time_ms=300))
    assert budget.remaining == BudgetLimits(tokens=90, time_ms=700)


def test_a_task_may_spend_more_than_it_held_and_then_nothing_is_left():
    budget = Budget(BudgetLimits(cost_micros=5))
    hold = budget.reserve(Spend(cost_micros=1))
    budget.settle(hold, Spend(cost_micros=9))
    assert budget.remaining.cost_micros == 0
    assert budget.reserve(Spend()) == Exceeded(BudgetKind.COST_MICROS, 0)


def test_a_kind_without_a_limit_is_never_exceeded():
    budget = Budget(BudgetLimits())
    assert isinstance(budget.reserve(Spend(tokens=10**12)), Hold)
    assert budget.remaining == BudgetLimits()


def test_a_hold_is_settled_once():
    budget = Budget(BudgetLimits(tokens=5))
    hold = budget.reserve(Spend(tokens=5))
    budget.settle(hold, Spend())
    with pytest.raises(AlreadySettled):
        budget.settle(hold, Spend())
    assert budget.remaining.tokens == 5
