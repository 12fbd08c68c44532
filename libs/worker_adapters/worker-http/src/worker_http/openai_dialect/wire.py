"""The parts of the dialect's JSON that are read; everything else in it is skipped unparsed."""

from typing import Any

import msgspec


class ErrorBody(msgspec.Struct):
    """An error, as a response or inside a stream."""

    message: str = ""
    code: int | str | None = None


class ErrorResponse(msgspec.Struct):
    """What comes with a status that is not 200; older vLLM and SGLang leave out the envelope."""

    error: ErrorBody | str | None = None
    message: str = ""


class PromptProgress(msgspec.Struct):
    """How far the prompt is; llama.cpp only."""

    total: int
    processed: int


class Timings(msgspec.Struct):
    """Measured by the engine, in milliseconds; llama.cpp only."""

    prompt_ms: float | None = None
    predicted_ms: float | None = None


class Delta(msgspec.Struct, gc=False):
    """What one event adds to the assistant's message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class Logprobs(msgspec.Struct):
    """Log-probabilities: `content` is the chat's form, the rest that of completions."""

    content: list[dict[str, Any]] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class Choice(msgspec.Struct, gc=False):
    """The one choice of a stream: `text` of a completion, `delta` of a chat."""

    text: str | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class PromptDetails(msgspec.Struct):
    """Of the prompt only what came from the cache, in tokens."""

    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    """Token counts; a ranking has only the total."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None

    @property
    def tokens_in(self) -> int:
        """Tokens of the input."""
        return self.total_tokens if self.prompt_tokens is None else self.prompt_tokens


class Chunk(msgspec.Struct, gc=False):
    """An event of a stream; `usage` comes with the last one, or in an event of its own."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: ErrorBody | str | None = None
    prompt_progress: PromptProgress | None = None
    timings: Timings | None = None

    @property
    def plain_text(self) -> str | None:
        """The text of a token in the middle of a stream; None where there is anything else."""
        if (
            len(self.choices) != 1
            or self.usage
            or self.error is not None
            or self.prompt_progress
            or self.timings
        ):
            return None
        choice = self.choices[0]
        if choice.finish_reason is not None or choice.logprobs:
            return None
        delta = choice.delta
        if delta is None:
            return choice.text
        if delta.reasoning_content or delta.reasoning or delta.tool_calls:
            return None
        return delta.content or choice.text


class Embedding(msgspec.Struct):
    """The vector of one input."""

    index: int
    embedding: list[float]


class EmbeddingsResponse(msgspec.Struct):
    """The answer of `/v1/embeddings`."""

    data: list[Embedding]
    usage: Usage


class Ranked(msgspec.Struct):
    """One document of a ranking; SGLang calls its relevance `score`."""

    index: int
    relevance_score: float | None = None
    score: float = 0.0

    @property
    def relevance(self) -> float:
        """By whichever name."""
        return self.score if self.relevance_score is None else self.relevance_score


class RerankResponse(msgspec.Struct):
    """The answer of `/v1/rerank`."""

    results: list[Ranked]
    usage: Usage = msgspec.field(default_factory=Usage)


class ModelMeta(msgspec.Struct):
    """What llama.cpp adds to a model."""

    n_ctx: int | None = None


class ModelCard(msgspec.Struct):
    """One entry of `/v1/models`."""

    id: str
    owned_by: str = ""
    max_model_len: int | None = None
    """Of vLLM and SGLang, in tokens."""
    meta: ModelMeta | None = None

    @property
    def ctx_max(self) -> int:
        """Tokens of context of one request; 0 where the engine does not say."""
        return self.max_model_len or (self.meta and self.meta.n_ctx) or 0


class ModelList(msgspec.Struct):
    """The answer of `/v1/models`."""

    data: list[ModelCard] = []


class Tokenized(msgspec.Struct):
    """The answer of `/tokenize`: vLLM, SGLang and llama.cpp."""

    tokens: list[int]
