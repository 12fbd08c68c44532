"""From a request of the contract to a body of the dialect."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from adapter_api import EngineRefused, EngineRequest
from worker_http.openai_dialect.dialect import RESPONSE_FORMAT, Dialect


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a request holds a {type(value).__name__}, which is not JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def encoded(**fields: Any) -> bytes:
    """JSON of a request."""
    return _encoder.encode(fields)


def completion_body(
    request: EngineRequest, dialect: Dialect, *, model: str, seed: int | None, room: int | None
) -> bytes:
    """For `/v1/completions`; `room` is what a counted prompt leaves of the context, in tokens."""
    if request.tools:
        raise EngineRefused("tools need messages, not a prompt")
    body = _common(request, dialect, model, seed)
    body["prompt"] = f"{request.prompt}{request.text_so_far}"
    if (limit := request.max_tokens or room) is not None:
        body["max_tokens"] = limit
    if logprobs := request.sampling.get("logprobs"):
        body["logprobs"] = logprobs
    return encoded(**body)


def chat_body(request: EngineRequest, dialect: Dialect, *, model: str, seed: int | None) -> bytes:
    """For `/v1/chat/completions`: messages through the model's own template."""
    body = _common(request, dialect, model, seed)
    body["messages"] = request.messages
    if request.text_so_far:
        if dialect.continues_messages is None:
            raise EngineRefused(f"{dialect.name} cannot go on behind the text of a lost chat")
        said = {"role": "assistant", "content": request.text_so_far}
        body["messages"] = (*(request.messages or ()), said)
        body.update(dialect.continues_messages)
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if logprobs := request.sampling.get("logprobs"):
        body["logprobs"] = True
        body["top_logprobs"] = logprobs
    if request.tools:
        if "tools" not in dialect.features:
            raise EngineRefused(f"{dialect.name} takes no tools")
        body["tools"] = request.tools
        if request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
    return encoded(**body)


def _common(
    request: EngineRequest, dialect: Dialect, model: str, seed: int | None
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        **dialect.always,
    }
    if seed is not None:
        body["seed"] = seed
    if not request.cache_prompt and (cold := dialect.cold_cache) is not None:
        body[cold] = False if cold == "cache_prompt" else secrets.token_hex(16)
    for name, value in request.sampling.items():
        if name not in dialect.sampling:
            raise EngineRefused(f"{dialect.name} has no sampling parameter {name!r}")
        if name != "logprobs":
            _put(body, dialect.sampling[name], value)
    return body


def _put(body: dict[str, Any], field: str, value: object) -> None:
    if field == RESPONSE_FORMAT:
        named = {"name": "answer", "schema": value, "strict": True}
        body[field] = {"type": "json_schema", "json_schema": named}
        return
    *outer, name = field.split(".")
    for key in outer:
        body = body.setdefault(key, {})
    body[name] = value
