"""What a client is told of its task, except for the event stream."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api_types.tasks import Priority, TaskState, Workload
from pool_registry_types import ServiceModel


class PreparationStep(ServiceModel):
    """One thing that must happen before the task can run, as numbers."""

    id: str
    kind: str
    description: str
    status: Literal["pending", "running", "done", "failed"]
    bytes_total: int | None = None
    bytes_done: int | None = None
    bytes_per_s: int | None = None
    estimated_ms: int | None = None
    """How much longer it will take, as far as can be told."""


class Preparation(ServiceModel):
    """All that must happen before the task can run; empty when its model is there."""

    steps: tuple[PreparationStep, ...] = ()


class StreamLinks(ServiceModel):
    """Where the events of a task are read."""

    sse: str
    sse_verbose: str


class TaskAccepted(ServiceModel):
    """The answer to an admitted task."""

    task_id: UUID
    queue_position: Annotated[int, Field(ge=0)]
    predicted_start_ms: Annotated[int, Field(ge=0)]
    backoff_ms: Annotated[int, Field(ge=0)] = 0
    streams: StreamLinks
    preparation: Preparation = Field(default_factory=Preparation)


class TaskTimings(ServiceModel):
    """When what happened: Unix times and durations in milliseconds."""

    created_ms: int
    started_ms: int | None = None
    first_token_at_ms: int | None = None
    ended_ms: int | None = None
    queue_time_ms: int | None = None
    first_token_ms: int | None = None
    decode_time_ms: int | None = None


class EstimateView(ServiceModel):
    """When a task would have been done on a replica, as placement saw it, and why."""

    total_ms: float
    prefill_ms: float
    """Reading what of the prompt was not in its cache."""
    drain_ms: float
    """The prompts that it had to read before that."""
    decode_ms: float


class CandidateView(ServiceModel):
    """A replica that placement looked at, and why it was not taken (None: it was)."""

    node_id: str
    pool_id: str
    replica_id: str
    refused: str | None = None
    estimate: EstimateView | None = None
    """Only where a scorer of placement is on, and of the replicas it has looked at."""


class PlacementView(ServiceModel):
    """How the last placement decision of a task came about."""

    node_id: str | None = None
    pool_id: str | None = None
    replica_id: str | None = None
    candidates: tuple[CandidateView, ...] = ()


class TaskError(ServiceModel):
    """Why a task ended without its result."""

    code: str
    message: str
    retriable: bool
    retry_after_ms: int | None = None
    engine: str | None = None
    pool_id: str | None = None


class TaskStatus(ServiceModel):
    """`GET /v2/tasks/{id}`."""

    task_id: UUID
    state: TaskState
    priority: Priority
    workload: Workload
    model_ref: str | None = None
    model_id: str | None = None
    session_id: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    attempts: int = 0
    queue_position: int | None = None
    predicted_start_ms: int | None = None
    text: str | None = None
    result: dict[str, Any] | None = None
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    seed: int | None = None
    error: TaskError | None = None
    timings: TaskTimings
    placement: PlacementView = Field(default_factory=PlacementView)
    correlation_id: str | None = None


class TaskList(ServiceModel):
    """`GET /v2/tasks`: newest first."""

    tasks: tuple[TaskStatus, ...] = ()
    next_cursor: str | None = None
