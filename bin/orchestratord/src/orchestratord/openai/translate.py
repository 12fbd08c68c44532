"""From a request of the upstream API to a task. Nothing is decided here but names and forms."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api_types import (
    ApiError,
    ErrorCode,
    Message,
    OnDisconnect,
    Sampling,
    TaskRequest,
    Workload,
    parse_json,
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
    UsualChat,
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
_SAYS_SAMPLING = frozenset({*_SAMPLING, "stop"})
_ENGINE_DEFAULTS = Sampling()


def read_chat(raw: bytes) -> UsualChat:
    """Return a chat, which may be a `ChatRequest`; raises ApiError."""
    try:
        return UsualChat.model_validate_json(raw, strict=True)
    except ValidationError:
        return parse_json(ChatRequest, raw)


def chat_task(request: UsualChat, headers: EdgeHeaders) -> TaskRequest:
    """Return the task of a chat; raises ApiError."""
    _check_stream_options(request)
    if isinstance(request, ChatRequest):
        return _full_chat_task(request, headers)
    return _task(
        request,
        headers,
        messages=request.messages,
        max_tokens=_max_tokens(request),
        seed=request.seed,
        sampling=_sampling(request),
    )


def _full_chat_task(request: ChatRequest, headers: EdgeHeaders) -> TaskRequest:
    more: dict[str, Any] = {}
    match request.response_format:
        case JsonFormat():
            more["json_schema"] = ANY_OBJECT
        case SchemaFormat(json_schema=wanted):
            more["json_schema"] = wanted.schema_
    if request.logprobs:
        # The engine tells none at all for 0; the encoder leaves the alternatives out again.
        more["logprobs"] = request.top_logprobs or 1
    elif request.top_logprobs is not None:
        raise _refusal("top_logprobs", "needs logprobs to be true")
    tools, choice = _tools(request)
    return _task(
        request,
        headers,
        messages=tuple(map(_message, request.messages)),
        max_tokens=_max_tokens(request),
        seed=request.seed,
        sampling=_sampling(request, **more),
        tools=tools,
        tool_choice=choice,
        labels=request.metadata or {},
    )


def completion_task(request: CompletionRequest, headers: EdgeHeaders) -> TaskRequest:
    """Return the task of a completion; raises ApiError."""
    _check_stream_options(request)
    more = {} if request.logprobs is None else {"logprobs": request.logprobs or 1}
    prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[0]
    return _task(
        request,
        headers,
        prompt=prompt,
        max_tokens=request.max_tokens,
        seed=request.seed,
        sampling=_sampling(request, **more),
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
    request: UsualChat | CompletionRequest | EmbeddingRequest | RerankRequest,
    headers: EdgeHeaders,
    **fields: Any,
) -> TaskRequest:
    try:
        return TaskRequest(
            model_ref=request.model,
            on_disconnect=OnDisconnect.CANCEL,
            **(_NO_HEADERS_DUMPED if headers is _NO_HEADERS else headers.model_dump()),
            **fields,
        )
    except ValidationError as error:
        raise problem(error, TaskRequest) from None


def _message(message: ChatMessage) -> Message:
    """Return a message without what only the upstream API has; it has been checked."""
    return Message.model_construct(
        **{name: getattr(message, name) for name in Message.model_fields}
    )


def _sampling(request: GeneratingRequest, **more: Any) -> Sampling | dict[str, Any]:
    """Return what is said of the choice of tokens; its values have been checked one by one."""
    if not more and _SAYS_SAMPLING.isdisjoint(request.__pydantic_fields_set__):
        return _ENGINE_DEFAULTS
    found = {name: getattr(request, name) for name in _SAMPLING}
    if request.stop is not None:
        found["stop"] = (request.stop,) if isinstance(request.stop, str) else request.stop
    return {name: value for name, value in found.items() if value is not None} | more


def _max_tokens(request: UsualChat) -> int | None:
    one, other = request.max_completion_tokens, request.max_tokens
    if one is not None and other is not None and one != other:
        raise _refusal("max_tokens", "says something else than max_completion_tokens")
    return other if one is None else one


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
