"""What whoever submits a task is answered with."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from admission_coordinator.task import Task
from api_types import Preparation, PreparationStep, StreamLinks, TaskAccepted


class Submission(NamedTuple):
    """What an admitted (or repeated) request is answered with."""

    task: Task
    queue_position: int
    predicted_start_ms: int
    steps: tuple[PreparationStep, ...]
    repeated: bool
    headers: Mapping[str, str]

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.task.task_id

    @property
    def model_id(self) -> str:
        """The model that serves it."""
        return self.task.model_id

    @property
    def engine(self) -> str | None:
        """The engine that it was bound to last, with its version; None while it waits."""
        return "-".join(filter(None, (self.task.engine, self.task.engine_version))) or None

    @property
    def accepted(self) -> TaskAccepted:
        """The body of the 202; made only when it is asked for."""
        path = f"/v2/tasks/{self.task.task_id}/events"
        return TaskAccepted.model_construct(
            task_id=UUID(self.task.task_id),
            queue_position=self.queue_position,
            predicted_start_ms=self.predicted_start_ms,
            backoff_ms=0,
            streams=StreamLinks(sse=path, sse_verbose=f"{path}?verbose=true"),
            preparation=Preparation(steps=self.steps),
        )
