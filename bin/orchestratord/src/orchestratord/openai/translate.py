"""From a request of the upstream API to a task. Nothing is decided here but names and forms."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api_types import (
    ApiError,
    ErrorCode,
    Message,
    OnDisconnect,
    TaskRequest,
    Workload,
    parse_query,
    problem,
)
from orchestratord.openai.parameters import (
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    EdgeHeaders,
    EmbeddingRequest,
    GeneratingRequest,
    JsonFormat,
    NamedTool,
    RerankRequest,
    SchemaFormat,
    TextDocument,
)

ANY_OBJECT = {"type": "object"}
EDGE_HEADERS = tuple(str(field.alias) for field in EdgeHeaders.model_fields.values())
_NO_HEADERS = EdgeHeaders()
_NO_HEADERS_DUMPED = _NO_HEADERS.model_dump()
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "grammar",
)


def chat_task(request: ChatRequest, headers: EdgeHeaders) -> TaskRequest:
    """Return the task of a chat; raises ApiError."""
    _check_stream_options(request)
    sampling = _sampling(request)
    match request.response_format:
        case JsonFormat():
            sampling["json_schema"] = ANY_OBJECT
        case SchemaFormat(json_schema=wanted):
            sampling["json_schema"] = wanted.schema_
    if request.logprobs:
        # The engine tells none at all for 0; the encoder leaves the alternatives out again.
        sampling["logprobs"] = request.top_logprobs or 1
    elif request.top_logprobs is not None:
        raise _refusal("top_logprobs", "needs logprobs to be true")
    tools, choice = _tools(request)
    return _task(
        request,
        headers,
        messages=tuple(map(_message, request.messages)),
        max_tokens=_max_tokens(request),
        seed=request.seed,
        sampling=sampling,
        tools=tools,
        tool_choice=choice,
        labels=request.metadata or {},
    )


def completion_task(request: CompletionRequest, headers: EdgeHeaders) -> TaskRequest:
    """Return the task of a completion; raises ApiError."""
    _check_stream_options(request)
    sampling = _sampling(request)
    if request.logprobs is not None:
        sampling["logprobs"] = request.logprobs or 1
    prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[0]
    return _task(
        request,
        headers,
        prompt=prompt,
        max_tokens=request.max_tokens,
        seed=request.seed,
        sampling=sampling,
    )


def embedding_task(request: EmbeddingRequest, headers: EdgeHeaders) -> TaskRequest:
    """Return the task of an embedding; raises ApiError."""
    inputs = (request.input,) if isinstance(request.input, str) else tuple(request.input)
    return _task(request, headers, workload=Workload.EMBEDDING, inputs=inputs)


def rerank_task(request: RerankRequest, headers: EdgeHeaders) -> TaskRequest:
    """Return the task of a ranking; raises ApiError."""
    return _task(
        request,
        headers,
        workload=Workload.RERANK,
        inputs=texts_of(request),
        query=request.query,
    )


def texts_of(request: RerankRequest) -> tuple[str, ...]:
    """Return the documents as texts."""
    return tuple(d.text if isinstance(d, TextDocument) else d for d in request.documents)


def edge_headers(headers: Mapping[str, str]) -> EdgeHeaders:
    """Return what the headers say of the task; raises ApiError."""
    given = [(name, headers[name]) for name in EDGE_HEADERS if name in headers]
    return parse_query(EdgeHeaders, given) if given else _NO_HEADERS


def _task(
    request: ChatRequest | CompletionRequest | EmbeddingRequest | RerankRequest,
    headers: EdgeHeaders,
    **fields: Any,
) -> TaskRequest:
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return TaskRequest(
            model_ref=request.model,
            on_disconnect=OnDisconnect.CANCEL,
            **(_NO_HEADERS_DUMPED if headers is _NO_HEADERS else headers.model_dump()),
            **given,
        )
    except ValidationError as error:
        raise problem(error, TaskRequest) from None


def _message(message: ChatMessage) -> Message:
    """Return a message without what only the upstream API has; it has been checked."""
    return Message.model_construct(
        **{name: getattr(message, name) for name in Message.model_fields}
    )


def _sampling(request: GeneratingRequest) -> dict[str, Any]:
    found = {name: getattr(request, name) for name in _SAMPLING}
    if request.stop is not None:
        found["stop"] = (request.stop,) if isinstance(request.stop, str) else request.stop
    return {name: value for name, value in found.items() if value is not None}


def _max_tokens(request: ChatRequest) -> int | None:
    both = request.max_completion_tokens, request.max_tokens
    if None not in both and both[0] != both[1]:
        raise _refusal("max_tokens", "says something else than max_completion_tokens")
    return both[1] if both[0] is None else both[0]


def _tools(request: ChatRequest) -> tuple[tuple[dict[str, Any], ...] | None, str | None]:
    """Return the tools to offer, and whether one must be called."""
    choice = request.tool_choice
    if choice is not None and request.tools is None:
        raise _refusal("tool_choice", "needs tools")
    if not isinstance(choice, NamedTool):
        return request.tools, choice
    wanted = choice.function.name
    named = tuple(tool for tool in request.tools or () if _name_of(tool) == wanted)
    if not named:
        raise _refusal("tool_choice.function.name", "none of the tools has this name")
    return named, "required"


def _name_of(tool: Mapping[str, Any]) -> object:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None


def _check_stream_options(request: GeneratingRequest) -> None:
    if request.stream_options is not None and not request.stream:
        raise _refusal("stream_options", "needs stream to be true")


def _refusal(param: str, why: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_PARAMS, f"{param}: {why}")
