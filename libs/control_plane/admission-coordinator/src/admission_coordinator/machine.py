"""The states of a task and the moves between them, as data.

One owner, the coordinator, moves a task; everybody else looks. The table in the README is drawn
from `TRANSITIONS`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from api_types import TaskState


class Move(StrEnum):
    """Why a task changes its state."""

    DISPATCH = "dispatch"
    PUT_BACK = "put back"
    STOP = "stop"
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"


TRANSITIONS: Mapping[tuple[TaskState, Move], TaskState] = MappingProxyType(
    {
        (TaskState.QUEUED, Move.DISPATCH): TaskState.RUNNING,
        (TaskState.QUEUED, Move.FAIL): TaskState.FAILED,
        (TaskState.QUEUED, Move.CANCEL): TaskState.CANCELED,
        (TaskState.RUNNING, Move.PUT_BACK): TaskState.QUEUED,
        (TaskState.RUNNING, Move.STOP): TaskState.STOPPING,
        (TaskState.RUNNING, Move.FINISH): TaskState.FINISHED,
        (TaskState.RUNNING, Move.FAIL): TaskState.FAILED,
        (TaskState.STOPPING, Move.FAIL): TaskState.FAILED,
        (TaskState.STOPPING, Move.CANCEL): TaskState.CANCELED,
    }
)
"""Every legal move; what is not here cannot happen."""


class IllegalMove(Exception):
    """A move that the table does not know: a bug of ours, with all that is needed to find it."""

    def __init__(self, task_id: str, state: TaskState, move: Move) -> None:
        super().__init__(f"task {task_id} is {state.value}: it cannot {move.value}")
        self.task_id = task_id
        self.state = state
        self.move = move


def step(task_id: str, state: TaskState, move: Move) -> TaskState:
    """Return the state after a move; raises `IllegalMove`."""
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        raise IllegalMove(task_id, state, move) from None


def table() -> str:
    """Return the transitions as a Markdown table for the README."""
    rows = ["| state | move | next state |", "|---|---|---|"]
    rows += [f"| {s.value} | {m.value} | {n.value} |" for (s, m), n in TRANSITIONS.items()]
    return "\n".join(rows)
