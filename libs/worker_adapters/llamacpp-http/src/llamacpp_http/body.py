"""From a request of the contract to a body of llama.cpp's API."""

from collections.abc import Mapping
from typing import Any

import msgspec

from adapter_api import EngineRefused, EngineRequest

MAX_SEED = 2**32 - 2
"""llama.cpp takes 2^32 - 1 for "choose one", and silently wraps what is larger."""

_AS_THEY_ARE = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "grammar",
        "json_schema",
    }
)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a request holds a {type(value).__name__}, which is not JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def completion_body(request: EngineRequest, *, seed: int, mark: int) -> bytes:
    """For `/completion`: a prompt that is taken as it is."""
    if request.tools:
        raise EngineRefused("tools need messages, not a prompt")
    body = _common(request, seed, mark)
    body["prompt"] = request.prompt
    if request.max_tokens is not None:
        body["n_predict"] = request.max_tokens
    if logprobs := request.sampling.get("logprobs"):
        body["n_probs"] = logprobs
    return _encoder.encode(body)


def chat_body(request: EngineRequest, *, seed: int, mark: int) -> bytes:
    """For `/v1/chat/completions`: messages through the model's own template."""
    body = _common(request, seed, mark)
    body["messages"] = request.messages
    body["stream_options"] = {"include_usage": True}
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if logprobs := request.sampling.get("logprobs"):
        body["logprobs"] = True
        body["top_logprobs"] = logprobs
    if request.tools:
        body["tools"] = request.tools
        if request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
    return _encoder.encode(body)


def plain_body(**fields: Any) -> bytes:
    """JSON of a small request."""
    return _encoder.encode(fields)


def _common(request: EngineRequest, seed: int, mark: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "stream": True,
        # Without it the engine is silent in the prompt, and notices there only late that we left.
        "return_progress": True,
        "cache_prompt": request.cache_prompt,
        "seed": seed,
        "dry_allowed_length": mark,
    }
    for name, value in request.sampling.items():
        if name in _AS_THEY_ARE:
            body[name] = value
        elif name == "logit_bias":
            body[name] = [[int(token), bias] for token, bias in value.items()]
        elif name != "logprobs":
            raise EngineRefused(f"llama.cpp has no sampling parameter {name!r}")
    return body
