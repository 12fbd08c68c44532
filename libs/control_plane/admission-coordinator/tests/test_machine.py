"""The table of moves, and the README that is drawn from it."""

from pathlib import Path

import pytest

from admission_coordinator import TRANSITIONS, IllegalMove, Move
from admission_coordinator.machine import step, table
from api_types import TERMINAL_STATES, TaskState


def test_the_readme_shows_the_table() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert table() in readme


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_nothing_leaves_a_terminal_state(state: TaskState) -> None:
    for move in Move:
        with pytest.raises(IllegalMove, match=f"is {state.value}: it cannot {move.value}"):
            step("t", state, move)


def test_every_other_state_leads_to_an_end() -> None:
    ends = {state: state in TERMINAL_STATES for state in TaskState}
    for _ in TaskState:
        for (state, _move), after in TRANSITIONS.items():
            ends[state] |= ends[after]
    # `preparing` is how a queued task is shown, not a state of its own.
    assert [state for state, ok in ends.items() if not ok] == [TaskState.PREPARING]
