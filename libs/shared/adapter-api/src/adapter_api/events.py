"""What an adapter is given and what it gives back. No pydantic here: this is the hot path."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Workload = Literal["completion", "embedding", "rerank"]
FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One attempt of one task, in terms that every engine kind understands.

    Exactly one of `prompt`, `messages` and `inputs` is set. `sampling` holds only what the client
    asked for, under the contract's names; an adapter refuses by name what its engine cannot do.
    """

    task_id: str
    attempt: int = 1
    workload: Workload = "completion"
    prompt: str | None = None
    messages: Sequence[Mapping[str, Any]] | None = None
    inputs: Sequence[str] | None = None
    query: str | None = None
    text_so_far: str = ""
    """What an attempt that was lost has given already: the answer goes on right behind it."""
    max_tokens: int | None = None
    """Of the answer that is still to come."""
    seed: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Mapping[str, Any]] | None = None
    tool_choice: Any = None
    cache_prompt: bool = True
    session_id: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    first_token_timeout_ms: int = 600_000
    idle_timeout_ms: int = 60_000
    """Longest silence of the engine once the first token was there."""


@dataclass(slots=True)
class Tokens:
    """The pieces of text that one read of the engine's stream brought, in order.

    `extras[i]`, where present, belongs to `pieces[i]`: log-probabilities, tool calls, reasoning.
    Nobody changes one; it is not frozen because one is made for each read, at twice the cost.
    """

    pieces: tuple[str, ...]
    extras: tuple[Mapping[str, Any] | None, ...] | None = None
    last: bool = field(default=False, compare=False)
    """Nothing is waited for behind them: the end follows in the same turn of the loop or the next,
    and whoever passes them on may wait for it and pass on both at once."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the engine is with the prompt, where it says so (tokens)."""

    prompt_tokens_done: int
    prompt_tokens_total: int


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of an embedding or a rerank task: `{embeddings}` or `{ranking}`."""

    data: Mapping[str, Any]


EngineEvent = Tokens | Progress | Result
EventSink = Callable[[EngineEvent], None]
"""Called by the adapter in the order of the stream, from the event loop; must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFinish:
    """The true end of a stream: counts are the engine's own."""

    finish_reason: FinishReason
    tokens_in: int
    tokens_out: int
    seed: int | None = None
    prompt_ms: float | None = None
    decode_ms: float | None = None
    tokens_cached: int | None = None
    """Prompt tokens that the engine took from its cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """What a probe of the engine found."""

    live: bool
    ready: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDescription:
    """What an engine says of itself."""

    engine: str
    engine_version: str | None
    model: str | None
    slots: int
    ctx_max: int
    """Tokens of context of one slot."""
    workloads: tuple[Workload, ...]
    features: frozenset[str] = frozenset()
    """Of: chat, tools, grammar, json_schema, logprobs, logit_bias, min_p, token_ids, progress."""
