"""The frames of a task's event stream. The grammar is in `GRAMMAR`; 8-semantics tells the rest."""

from typing import Annotated, Any, Literal

from pydantic import Field

from pool_registry_types import ServiceModel

GRAMMAR = "(started token*)+ [result] (end | error), with metrics anywhere between"

Count = Annotated[int, Field(ge=0)]


class Started(ServiceModel):
    """The first frame of each attempt that the client sees."""

    task_id: str
    attempt: Annotated[int, Field(ge=1)]
    created_ms: Count
    correlation_id: str
    queue_position: Count
    predicted_start_ms: Count
    pool_id: str | None = None


class Token(ServiceModel):
    """A piece of text; `i` is the index of its first engine piece, `n` how many there are."""

    t: str
    i: Count
    n: Annotated[int, Field(ge=1)] = 1
    x: dict[str, Any] | None = None


class ResultFrame(ServiceModel):
    """The outcome of an embedding or a rerank task."""

    embeddings: tuple[tuple[float, ...], ...] | None = None
    ranking: tuple[dict[str, Any], ...] | None = None


class PrepState(ServiceModel):
    """How far one preparation step is."""

    status: str
    pct: float | None = None
    bytes_done: Count | None = None
    bytes_total: Count | None = None
    phase: str | None = None
    human: str | None = None


class Metrics(ServiceModel):
    """What changed while the client waits; any subset of the fields."""

    queue_depth: Count | None = None
    queue_position: Count | None = None
    predicted_start_ms: Count | None = None
    pool_id: str | None = None
    on_time_probability: Annotated[float, Field(ge=0, le=1)] | None = None
    kv_warmth: Annotated[float, Field(ge=0, le=1)] | None = None
    tokens_budget_remaining: int | None = None
    time_budget_remaining_ms: int | None = None
    cost_budget_remaining: float | None = None
    prep: dict[str, PrepState] | None = None
    human: str | None = None


class End(ServiceModel):
    """The last frame of a task that ended well."""

    tokens_in: Count
    tokens_out: Count
    decode_time_ms: Count
    decode_ms: Count
    queue_time_ms: Count
    first_token_ms: Count
    finish_reason: Literal["stop", "length", "tool_calls"]
    seed: int | None = None
    pool_id: str


class ErrorFrame(ServiceModel):
    """The last frame of a task that did not end well."""

    code: str
    message: str
    retriable: bool
    retry_after_ms: Count | None = None
    engine: str | None = None
    pool_id: str | None = None


EVENT_TYPES: dict[str, type[ServiceModel]] = {
    "started": Started,
    "token": Token,
    "result": ResultFrame,
    "metrics": Metrics,
    "end": End,
    "error": ErrorFrame,
}
"""Event name → the model of its data."""

TERMINAL_EVENTS = frozenset({"end", "error"})
