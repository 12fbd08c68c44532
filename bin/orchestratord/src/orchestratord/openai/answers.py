"""The answers of the upstream API, for the OpenAPI document: what is written is made elsewhere."""

from typing import Any, Literal

from pool_registry_types import Count, ServiceModel


class Usage(ServiceModel):
    """The engine's own counts of tokens."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count


class InputUsage(ServiceModel):
    """The same where nothing is generated."""

    prompt_tokens: Count
    total_tokens: Count


FinishReason = Literal["stop", "length", "tool_calls"]


class FunctionCall(ServiceModel):
    """What is to be called, with arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(ServiceModel):
    """A call that the model asks for."""

    id: str | None
    type: Literal["function"]
    function: FunctionCall


class AssistantMessage(ServiceModel):
    """What the model says."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None


class ChatChoice(ServiceModel):
    """The one choice of a chat."""

    index: Literal[0]
    message: AssistantMessage
    logprobs: dict[str, Any] | None
    finish_reason: FinishReason


class ChatCompletion(ServiceModel):
    """The answer of `/v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"]
    created: Count
    model: str
    system_fingerprint: str | None
    choices: tuple[ChatChoice]
    usage: Usage


class TextChoice(ServiceModel):
    """The one choice of a completion."""

    index: Literal[0]
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: FinishReason


class TextCompletion(ServiceModel):
    """The answer of `/v1/completions`."""

    id: str
    object: Literal["text_completion"]
    created: Count
    model: str
    system_fingerprint: str | None
    choices: tuple[TextChoice]
    usage: Usage


class Embedding(ServiceModel):
    """The vector of one input, as numbers or as base64 of 32-bit floats."""

    object: Literal["embedding"]
    index: Count
    embedding: tuple[float, ...] | str


class Embeddings(ServiceModel):
    """The answer of `/v1/embeddings`."""

    object: Literal["list"]
    model: str
    data: tuple[Embedding, ...]
    usage: InputUsage


class RankedDocument(ServiceModel):
    """One document of a ranking."""

    index: Count
    relevance_score: float
    document: dict[str, str] | None = None


class Ranking(ServiceModel):
    """The answer of `/v1/rerank`."""

    id: str
    object: Literal["list"]
    model: str
    results: tuple[RankedDocument, ...]
    usage: InputUsage


class ModelDetails(ServiceModel):
    """What the upstream API has no place for."""

    reference: str
    state: str
    ready: bool
    """Whether a pool serves it now; else a call waits until one has loaded it."""
    served_by: tuple[str, ...]
    loadable_by: tuple[str, ...]
    """The pools that would load it for a call."""
    aliases: tuple[str, ...]
    ctx_max: int | None
    size_bytes: int | None
    architecture: str | None
    quantization: str | None


class ModelCard(ServiceModel):
    """A model that is served or could be."""

    id: str
    object: Literal["model"] = "model"
    created: Count
    """Since when this daemon runs: the catalog keeps no other time."""
    owned_by: Literal["llama-orch"] = "llama-orch"
    llama_orch: ModelDetails


class ModelCards(ServiceModel):
    """The answer of `/v1/models`."""

    object: Literal["list"] = "list"
    data: tuple[ModelCard, ...]
