"""The parts that chunks and whole answers share: heading, usage, log-probabilities, tool calls."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

Entry = Mapping[str, Any]
"""An engine's log-probability of one token."""


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What every chunk and every whole answer of a task says of it."""

    id: str
    created_s: int
    model: str
    engine: Callable[[], str | None]
    """What the task was bound to; asked when there is an answer, and not before."""

    def fields(self, kind: str) -> dict[str, Any]:
        """Return the fields; `kind` is the upstream name of the object."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created_s,
            "model": self.model,
            "system_fingerprint": self.engine(),
        }


def usage_of(end: Mapping[str, Any]) -> dict[str, int]:
    """Return the engine's own counts, from the data of an `end` frame."""
    tokens_in, tokens_out = end.get("tokens_in") or 0, end.get("tokens_out") or 0
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }


def chat_logprobs(entries: Sequence[Entry], top: int) -> dict[str, Any] | None:
    """Return the log-probabilities of a chat with no more alternatives than were asked for."""
    if not entries:
        return None
    return {
        "content": [{**e, "top_logprobs": list(e.get("top_logprobs", ()))[:top]} for e in entries],
        "refusal": None,
    }


def legacy_logprobs(entries: Sequence[Entry], top: int, offset: int) -> dict[str, Any] | None:
    """Return the log-probabilities of a completion; `offset` is that of its first character."""
    if not entries:
        return None
    tokens = [str(entry["token"]) for entry in entries]
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [_alternatives(entry, top) for entry in entries] if top else None,
        "text_offset": offsets,
    }


def _alternatives(entry: Entry, top: int) -> dict[str, float]:
    found = list(entry.get("top_logprobs", ()))[:top]
    return {str(other["token"]): other["logprob"] for other in found}


def joined_tool_calls(deltas: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return whole tool calls of the pieces in which a stream tells them."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        call = calls.setdefault(
            delta.get("index", len(calls)),
            {"id": None, "type": "function", "function": {"name": "", "arguments": ""}},
        )
        call["id"] = delta.get("id") or call["id"]
        function = delta.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
    return [calls[index] for index in sorted(calls)]
