"""The parts of llama.cpp's JSON that are read; everything else in it is skipped unparsed."""

from typing import Any

import msgspec


class ErrorBody(msgspec.Struct):
    """An error of the engine, as a response or inside a stream."""

    message: str = ""
    code: int = 500
    type: str = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class ErrorResponse(msgspec.Struct):
    """What comes with a status that is not 200."""

    error: ErrorBody


class PromptProgress(msgspec.Struct):
    """How far the prompt is."""

    total: int
    processed: int


class Timings(msgspec.Struct):
    """Measured by the engine, in milliseconds; `cache_n` in tokens."""

    cache_n: int | None = None
    prompt_ms: float | None = None
    predicted_ms: float | None = None


class CompletionChunk(msgspec.Struct, gc=False):
    """An event of `/completion`; the one with `stop` is the last."""

    content: str = ""
    stop: bool = False
    stop_type: str = "none"
    truncated: bool = False
    tokens_predicted: int | None = None
    tokens_evaluated: int | None = None
    timings: Timings | None = None
    prompt_progress: PromptProgress | None = None
    completion_probabilities: list[dict[str, Any]] | None = None
    error: ErrorBody | None = None


class Delta(msgspec.Struct, gc=False):
    """What one event adds to the assistant's message."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChoiceLogprobs(msgspec.Struct):
    """Log-probabilities of the tokens of one event."""

    content: list[dict[str, Any]] | None = None


class Choice(msgspec.Struct, gc=False):
    """The one choice of a chat stream."""

    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None


class Usage(msgspec.Struct):
    """Token counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class ChatChunk(msgspec.Struct, gc=False):
    """An event of `/v1/chat/completions`; the one with `usage` is the last but `[DONE]`."""

    choices: list[Choice] = []
    usage: Usage | None = None
    timings: Timings | None = None
    prompt_progress: PromptProgress | None = None
    error: ErrorBody | None = None


class Embedding(msgspec.Struct):
    """The vector of one input."""

    index: int
    embedding: list[float]


class EmbeddingsResponse(msgspec.Struct):
    """The answer of `/v1/embeddings`."""

    data: list[Embedding]
    usage: Usage


class Ranked(msgspec.Struct):
    """One document of a ranking."""

    index: int
    relevance_score: float


class RerankResponse(msgspec.Struct):
    """The answer of `/v1/rerank`."""

    results: list[Ranked]
    usage: Usage


class SlotParams(msgspec.Struct):
    """The parameter that the adapter marks its requests with; see `stops`."""

    dry_allowed_length: int | None = None


class Slot(msgspec.Struct):
    """An entry of `/slots`."""

    is_processing: bool
    params: SlotParams | None = None


class TemplateCaps(msgspec.Struct):
    """What the model's chat template can express."""

    supports_tools: bool = False


class GenerationSettings(msgspec.Struct):
    """Of the defaults only the context of one slot, in tokens."""

    n_ctx: int


class Props(msgspec.Struct):
    """The answer of `/props`."""

    default_generation_settings: GenerationSettings
    total_slots: int
    model_alias: str = ""
    model_path: str = ""
    chat_template: str = ""
    chat_template_caps: TemplateCaps = msgspec.field(default_factory=TemplateCaps)
    build_info: str = ""


class Tokenized(msgspec.Struct):
    """The answer of `/tokenize`."""

    tokens: list[int]


class Detokenized(msgspec.Struct):
    """The answer of `/detokenize`."""

    content: str


class Templated(msgspec.Struct):
    """The answer of `/apply-template`."""

    prompt: str
