"""From the frames of a task to one whole answer."""

import base64
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from admission_coordinator import Frame, TokenFrame
from orchestratord.openai.shapes import (
    Heading,
    chat_logprobs,
    joined_tool_calls,
    legacy_logprobs,
    usage_of,
)


class Collected:
    """A dialect that makes no bytes: it keeps what the frames say until the last one."""

    def __init__(self) -> None:
        self.failure: Mapping[str, Any] | None = None
        self.end: Mapping[str, Any] = {}
        self.result: Mapping[str, Any] = {}
        self.extras: list[Mapping[str, Any]] = []
        self._pieces: list[str] = []

    def __call__(self, frame_id: int, frame: Frame) -> bytes:  # noqa: ARG002 - ids tell nothing
        """Keep one frame."""
        if isinstance(frame, TokenFrame):
            self._pieces.append(frame.text)
            return b""
        match frame.event:
            case "token":
                self._pieces.append(frame.data["t"])
                if extras := frame.data.get("x"):
                    self.extras.append(extras)
            case "result":
                self.result = frame.data
            case "end":
                self.end = frame.data
            case "error":
                self.failure = frame.data
        return b""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._pieces)

    @property
    def logprobs(self) -> list[Mapping[str, Any]]:
        """The log-probabilities of all tokens."""
        return [entry for extras in self.extras for entry in extras.get("logprobs", ())]


def chat_answer(heading: Heading, kept: Collected, *, top_logprobs: int) -> dict[str, Any]:
    """Return a `chat.completion`."""
    calls = joined_tool_calls(
        delta for extras in kept.extras for delta in extras.get("tool_calls", ())
    )
    reasoning = "".join(extras.get("reasoning", "") for extras in kept.extras)
    message: dict[str, Any] = {"role": "assistant", "content": kept.text, "refusal": None}
    if calls:
        message |= {"content": kept.text or None, "tool_calls": calls}
    if reasoning:
        message["reasoning_content"] = reasoning
    return {
        **heading.fields("chat.completion"),
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": chat_logprobs(kept.logprobs, top_logprobs),
                "finish_reason": kept.end["finish_reason"],
            }
        ],
        "usage": usage_of(kept.end),
    }


def completion_answer(heading: Heading, kept: Collected, *, top_logprobs: int) -> dict[str, Any]:
    """Return a `text_completion`."""
    return {
        **heading.fields("text_completion"),
        "choices": [
            {
                "index": 0,
                "text": kept.text,
                "logprobs": legacy_logprobs(kept.logprobs, top_logprobs, 0),
                "finish_reason": kept.end["finish_reason"],
            }
        ],
        "usage": usage_of(kept.end),
    }


def embedding_answer(heading: Heading, kept: Collected, *, as_base64: bool) -> dict[str, Any]:
    """Return a list of embeddings."""
    write = _base64_of if as_base64 else list
    vectors: Sequence[Sequence[float]] = kept.result["embeddings"]
    return {
        "object": "list",
        "model": heading.model,
        "data": [
            {"object": "embedding", "index": index, "embedding": write(vector)}
            for index, vector in enumerate(vectors)
        ],
        "usage": _input_usage(kept.end),
    }


def rerank_answer(
    heading: Heading, kept: Collected, *, texts: Sequence[str] | None, top_n: int | None
) -> dict[str, Any]:
    """Return a ranking, best first; with the texts where they are given."""
    results = []
    for entry in kept.result["ranking"][:top_n]:
        document = {} if texts is None else {"document": {"text": texts[entry["index"]]}}
        results.append({**entry, **document})
    return {
        "id": heading.id,
        "object": "list",
        "model": heading.model,
        "results": results,
        "usage": _input_usage(kept.end),
    }


def _input_usage(end: Mapping[str, Any]) -> dict[str, int]:
    usage = usage_of(end)
    return {name: usage[name] for name in ("prompt_tokens", "total_tokens")}


def _base64_of(vector: Sequence[float]) -> str:
    """Write 32-bit floats, little-endian as every machine that we run on."""
    return base64.b64encode(array("f", vector).tobytes()).decode()
