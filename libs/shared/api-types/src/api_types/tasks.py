"""What a client asks for: the task request and the states of a task."""

from enum import StrEnum
from math import isfinite
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from api_types import request_schemas
from pool_registry_types import ClientModel, Identifier, ServiceModel


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Lets an integer be written as `8.0`, as JSON allows."""
Text = Annotated[str, StringConstraints(min_length=1)]
PositiveMs = Annotated[int, Field(ge=1, le=86_400_000), WHOLE]
PoolName = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9._-]{0,62}:)?[a-z0-9][a-z0-9._-]{0,62}$")
]
"""A pool id, alone where it is unique, else `node_id:pool_id`."""
ModelRefText = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
SessionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=63)]
LabelValue = Annotated[str, StringConstraints(max_length=255)]


def _finite(value: JsonValue) -> JsonValue:
    match value:
        case float() if not isfinite(value):
            raise ValueError("NaN and infinite numbers are no JSON")
        case list():
            for item in value:
                _finite(item)
        case dict():
            for item in value.values():
                _finite(item)
    return value


FiniteJson = Annotated[JsonValue, AfterValidator(_finite)]
"""Any JSON; its depth is bounded by the parser."""


class Priority(StrEnum):
    """Which of the two queues a task waits in."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class Workload(StrEnum):
    """What the engine is to do."""

    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RERANK = "rerank"


class Determinism(StrEnum):
    """How far the same seed must give the same text."""

    BEST_EFFORT = "best_effort"
    STRICT = "strict"


class KvHint(StrEnum):
    """Whether the engine's cache of the session may be used."""

    REUSE = "reuse"
    COLD = "cold"


class PlacementMode(StrEnum):
    """How binding the placement wishes are."""

    AUTO = "auto"
    PREFER = "prefer"
    PIN = "pin"


class OnWorkerLoss(StrEnum):
    """What becomes of a task whose worker is lost after its first token."""

    FAIL = "fail"
    RESTART = "restart"
    RESUME = "resume"


class OnDisconnect(StrEnum):
    """What becomes of a task whose last reader went away."""

    CONTINUE = "continue"
    CANCEL = "cancel"


class TaskState(StrEnum):
    """Where a task stands."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL_STATES = frozenset({TaskState.FINISHED, TaskState.FAILED, TaskState.CANCELED})


class TextPart(ClientModel):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class Message(ClientModel):
    """One turn of a conversation; the engine's own chat template makes the prompt of it."""

    role: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")]
    content: str | tuple[TextPart, ...] | None = None
    name: Annotated[str, StringConstraints(max_length=128)] | None = None
    tool_calls: tuple[dict[str, FiniteJson], ...] | None = None
    tool_call_id: Annotated[str, StringConstraints(max_length=128)] | None = None


class Sampling(ClientModel):
    """How the next token is chosen. What is not set is left to the engine."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": request_schemas.SAMPLING_BRANCHES,
            "examples": request_schemas.SAMPLING_EXAMPLES,
        }
    )

    temperature: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    repeat_penalty: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    presence_penalty: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)] | None = None
    logit_bias: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")],
                Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)],
            ],
            Field(max_length=1024),
        ]
        | None
    ) = None
    logprobs: Annotated[int, Field(ge=0, le=20), WHOLE] | None = None
    stop: (
        Annotated[
            tuple[Annotated[str, StringConstraints(min_length=1, max_length=1024)], ...],
            Field(max_length=16),
        ]
        | None
    ) = None
    grammar: Annotated[str, StringConstraints(min_length=1, max_length=262_144)] | None = None
    json_schema: dict[str, FiniteJson] | None = None

    @model_validator(mode="after")
    def _one_constraint(self) -> Self:
        if self.grammar is not None and self.json_schema is not None:
            raise ValueError("grammar and json_schema exclude each other; give one of them")
        return self


class Placement(ClientModel):
    """Where the client wants its task to run."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": request_schemas.PLACEMENT_BRANCHES,
            "examples": request_schemas.PLACEMENT_EXAMPLES,
        }
    )

    mode: PlacementMode = PlacementMode.AUTO
    pin_pool_id: PoolName | None = None
    node_id: Identifier | None = None
    prefer_pools: Annotated[tuple[PoolName, ...], Field(max_length=64)] = ()
    avoid_pools: Annotated[tuple[PoolName, ...], Field(max_length=64)] = ()
    prefer_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict
    )
    spread_by: LabelKey | None = None
    require_device_mask: Annotated[str, StringConstraints(max_length=256)] | None = None
    allow_fallback: bool | None = None
    """Unset: true for `prefer`, false for `pin`."""

    @model_validator(mode="after")
    def _pin_names_a_target(self) -> Self:
        if self.mode is PlacementMode.PIN and self.pin_pool_id is None and self.node_id is None:
            raise ValueError("mode pin needs pin_pool_id or node_id")
        if self.pin_pool_id is not None and self.mode is not PlacementMode.PIN:
            raise ValueError("pin_pool_id needs mode pin")
        return self


class TaskRequest(ClientModel):
    """The body of `POST /v2/tasks`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": request_schemas.TASK_REQUEST_BRANCHES,
            "examples": request_schemas.TASK_REQUEST_EXAMPLES,
        }
    )

    task_id: UUID | None = None
    model_ref: ModelRefText | None = None
    prompt: Text | None = None
    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=4096)] | None = None
    inputs: Annotated[tuple[Text, ...], Field(min_length=1, max_length=2048)] | None = None
    query: Text | None = None
    session_id: SessionId | None = None
    workload: Workload = Workload.COMPLETION
    engine: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,32}$")] | None = None
    ctx: Annotated[int, Field(ge=1, le=100_000_000), WHOLE] | None = None
    priority: Priority = Priority.INTERACTIVE
    max_tokens: Annotated[int, Field(ge=1, le=100_000_000), WHOLE] | None = None
    deadline_ms: PositiveMs | None = None
    expected_tokens: Annotated[int, Field(ge=1, le=100_000_000), WHOLE] | None = None
    seed: Annotated[int, Field(ge=0, le=4_294_967_294), WHOLE] | None = None
    """The highest 32-bit value is the engines' word for "choose one"."""
    determinism: Determinism = Determinism.BEST_EFFORT
    sampling: Sampling = Field(default_factory=Sampling)
    tools: Annotated[tuple[dict[str, FiniteJson], ...], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | dict[str, FiniteJson] | None = None
    kv_hint: KvHint = KvHint.REUSE
    placement: Placement = Field(default_factory=Placement)
    on_worker_loss: OnWorkerLoss = OnWorkerLoss.FAIL
    on_disconnect: OnDisconnect = OnDisconnect.CONTINUE
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        given = [n for n in ("prompt", "messages", "inputs") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                "exactly one of prompt, messages and inputs must be given, not "
                + (" and ".join(given) if given else "none of them")
            )
        if (self.workload is Workload.COMPLETION) != (given != ["inputs"]):
            raise ValueError(
                "inputs belong to the workloads embedding and rerank, "
                f"prompt and messages to completion; got {given[0]} for {self.workload.value}"
            )
        if (self.workload is Workload.RERANK) != (self.query is not None):
            raise ValueError("query belongs to the workload rerank, and rerank needs it")
        if self.tools is not None and self.messages is None:
            raise ValueError("tools need messages")
        if self.tool_choice is not None and self.tools is None:
            raise ValueError("tool_choice needs tools")
        return self


class PreparationStep(ServiceModel):
    """One thing that must happen before the task can run, as numbers."""

    id: str
    kind: str
    description: str
    status: Literal["pending", "running", "done", "failed"]
    bytes_total: int | None = None
    bytes_done: int | None = None
    estimated_ms: int | None = None


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


class CandidateView(ServiceModel):
    """A replica that placement looked at, and why it was not taken (None: it was)."""

    node_id: str
    pool_id: str
    replica_id: str
    refused: str | None = None


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


class TaskQuery(ClientModel):
    """The query of `GET /v2/tasks`."""

    state: TaskState | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None


def _only_true_or_false(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("should be true or false")
    return value


class EventsQuery(ClientModel):
    """The query of `GET /v2/tasks/{task_id}/events`."""

    verbose: Annotated[bool, BeforeValidator(_only_true_or_false)] = False
    """Adds fields to the frames, never frames."""
