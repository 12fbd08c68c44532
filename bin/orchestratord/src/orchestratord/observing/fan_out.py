"""One observer made of several."""

from admission_coordinator import Task, TaskObserver
from api_types import ApiError


class FanOut:
    """A TaskObserver that tells each of its members, in their order."""

    def __init__(self, *members: TaskObserver) -> None:
        self._members = members

    def admitted(self, task: Task) -> None:
        """A task was given a place in the queue."""
        for member in self._members:
            member.admitted(task)

    def refused(self, error: ApiError, *, model_id: str | None, identity: str) -> None:
        """A request was refused at admission."""
        for member in self._members:
            member.refused(error, model_id=model_id, identity=identity)

    def dispatched(self, task: Task) -> None:
        """A task was bound to a replica."""
        for member in self._members:
            member.dispatched(task)

    def first_token(self, task: Task) -> None:
        """The first token of an attempt arrived."""
        for member in self._members:
            member.first_token(task)

    def put_back(self, task: Task, cause: str) -> None:
        """An attempt was lost and the task waits again."""
        for member in self._members:
            member.put_back(task, cause)

    def ended(self, task: Task) -> None:
        """A task has had its one terminal frame."""
        for member in self._members:
            member.ended(task)
