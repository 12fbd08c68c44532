"""What a client asks for: the task request, and the queries of the task routes."""

from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from api_types import request_schemas
from api_types.fields import (
    WHOLE,
    FiniteJson,
    LabelKey,
    LabelValue,
    ModelRefText,
    PoolName,
    PositiveMs,
    SessionId,
    Text,
    only_true_or_false,
)
from pool_registry_types import ClientModel, Identifier


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
    reasoning_content: str | None = None
    """What an assistant thought before it answered; for templates that show it again."""


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
            Field(max_length=1024, json_schema_extra={"additionalProperties": False}),
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


# Most tasks say neither, and both are immutable: one of each does for all of them.
_ENGINE_S_OWN_SAMPLING = Sampling()
_ANYWHERE = Placement()


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
    sampling: Sampling = Field(default_factory=lambda: _ENGINE_S_OWN_SAMPLING)
    tools: Annotated[tuple[dict[str, FiniteJson], ...], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | dict[str, FiniteJson] | None = None
    kv_hint: KvHint = KvHint.REUSE
    placement: Placement = Field(default_factory=lambda: _ANYWHERE)
    on_worker_loss: OnWorkerLoss = OnWorkerLoss.FAIL
    on_disconnect: OnDisconnect = OnDisconnect.CONTINUE
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if (self.prompt is None) + (self.messages is None) + (self.inputs is None) != 2:
            raise ValueError(
                "exactly one of prompt, messages and inputs must be given, not "
                + (" and ".join(self._inputs()) or "none of them")
            )
        if (self.workload is Workload.COMPLETION) != (self.inputs is None):
            raise ValueError(
                "inputs belong to the workloads embedding and rerank, "
                "prompt and messages to completion; "
                f"got {self._inputs()[0]} for {self.workload.value}"
            )
        if (self.workload is Workload.RERANK) != (self.query is not None):
            raise ValueError("query belongs to the workload rerank, and rerank needs it")
        if self.tools is not None and self.messages is None:
            raise ValueError("tools need messages")
        if self.tool_choice is not None and self.tools is None:
            raise ValueError("tool_choice needs tools")
        return self

    def _inputs(self) -> list[str]:
        return [n for n in ("prompt", "messages", "inputs") if getattr(self, n) is not None]


class TaskQuery(ClientModel):
    """The query of `GET /v2/tasks`."""

    state: TaskState | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None


class EventsQuery(ClientModel):
    """The query of `GET /v2/tasks/{task_id}/events`."""

    verbose: Annotated[bool, BeforeValidator(only_true_or_false)] = False
    """Adds fields to the frames, never frames."""
