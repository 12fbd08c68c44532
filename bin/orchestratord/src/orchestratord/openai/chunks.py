"""From the frames of a task to the chunks of a stream: dialects of the event log.

What stays the same from chunk to chunk is encoded once; a chunk of plain text costs the escaping
of its text and one concatenation.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec

from admission_coordinator import EventFrame, Frame, TokenFrame
from api_types import ApiError
from orchestratord.openai.errors import failure_of, upstream
from orchestratord.openai.shapes import Heading, chat_logprobs, legacy_logprobs, usage_of

DONE: Final = b"data: [DONE]\n\n"
_encode: Final = msgspec.json.Encoder().encode


class Style(Protocol):
    """How a stream of one kind writes its one choice."""

    @property
    def kind(self) -> str:
        """The upstream name of a chunk."""
        ...

    @property
    def text(self) -> tuple[bytes, bytes]:
        """What stands before and after the text of a choice that has nothing but text."""
        ...

    @property
    def opening(self) -> bytes | None:
        """The choice that comes before all others."""
        ...

    def rich(self, text: str, extras: Mapping[str, Any]) -> dict[str, Any]:
        """Return a choice with more than text."""
        ...

    @property
    def last(self) -> Callable[[str], bytes]:
        """Gives the choice that ends the stream, for a reason."""
        ...


class Chunks:
    """The dialect of one reader of a streamed answer.

    The failure of a task is its last chunk, and none says that it is done. Before there was any
    chunk it is raised instead, as ApiError: the headers have not gone, so that it has a status.
    """

    def __init__(
        self, heading: Heading, style: Style, *, include_usage: bool, correlation_id: str
    ) -> None:
        self._heading = heading
        self._style = style
        self._include_usage = include_usage
        self._correlation_id = correlation_id
        self._committed = False
        self._head = self._tail = self._before = self._after = b""

    def __call__(self, frame_id: int, frame: Frame) -> bytes:  # noqa: ARG002 - chunks have no id
        """Encode one frame; nothing where the upstream API has nothing like it."""
        if type(frame) is TokenFrame:
            if self._before:
                return b"%b%b%b" % (self._before, _encode(frame.text), self._after)
            opening = self._open()
            return b"%b%b%b%b" % (opening, self._before, _encode(frame.text), self._after)
        return self._event(frame)

    def commit(self) -> None:
        """Tell no failure by a status any more: the headers go."""
        self._committed = True

    def _event(self, frame: EventFrame) -> bytes:
        match frame.event:
            case "token":
                opening = b"" if self._before else self._open()
                choice = self._style.rich(frame.data["t"], frame.data.get("x") or {})
                return opening + self._head + _encode(choice) + self._tail
            case "end":
                opening = b"" if self._before else self._open()
                return opening + self._end(frame.data)
            case "error":
                return self._failed(failure_of(frame.data))
        return b""

    def _failed(self, error: ApiError) -> bytes:
        if not (self._before or self._committed):
            raise error
        return b"data: %b\n\n" % upstream(error.body(self._correlation_id))

    def _open(self) -> bytes:
        """Encode what stays the same, now that it is known which engine answers."""
        style = self._style
        fields = _encode(self._heading.fields(style.kind))
        self._head = b'data: %b,"choices":[' % fields[:-1]
        self._tail = b'],"usage":null}\n\n' if self._include_usage else b"]}\n\n"
        before, after = style.text
        self._before, self._after = self._head + before, after + self._tail
        return b"" if style.opening is None else self._head + style.opening + self._tail

    def _end(self, data: Mapping[str, Any]) -> bytes:
        last = self._head + self._style.last(data["finish_reason"]) + self._tail
        if not self._include_usage:
            return last + DONE
        return b'%b%b],"usage":%b}\n\n%b' % (last, self._head, _encode(usage_of(data)), DONE)


def _chat_choice(
    delta: Mapping[str, Any], *, logprobs: Any = None, finish_reason: str | None = None
) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


@lru_cache(maxsize=16)
def _last_of_chat(finish_reason: str) -> bytes:
    return _encode(_chat_choice({}, finish_reason=finish_reason))


@lru_cache(maxsize=16)
def _last_of_text(finish_reason: str) -> bytes:
    return _encode({"index": 0, "text": "", "logprobs": None, "finish_reason": finish_reason})


class ChatStyle:
    """`chat.completion.chunk`."""

    kind = "chat.completion.chunk"
    text = (
        b'{"index":0,"delta":{"content":',
        b'},"logprobs":null,"finish_reason":null}',
    )

    opening = _encode(_chat_choice({"role": "assistant", "content": ""}))
    """It says who speaks."""
    last = staticmethod(_last_of_chat)

    def __init__(self, *, top_logprobs: int) -> None:
        self._top = top_logprobs

    def rich(self, text: str, extras: Mapping[str, Any]) -> dict[str, Any]:
        """Add reasoning, tool calls and log-probabilities as the engine told them."""
        delta: dict[str, Any] = {"content": text} if text else {}
        if "reasoning" in extras:
            delta["reasoning_content"] = extras["reasoning"]
        if "tool_calls" in extras:
            delta["tool_calls"] = extras["tool_calls"]
        return _chat_choice(delta, logprobs=chat_logprobs(extras.get("logprobs", ()), self._top))


class CompletionStyle:
    """`text_completion`, whose chunks have the name of the whole."""

    kind = "text_completion"
    text = (b'{"index":0,"text":', b',"logprobs":null,"finish_reason":null}')
    opening = None
    last = staticmethod(_last_of_text)

    def __init__(self, *, top_logprobs: int) -> None:
        self._top = top_logprobs
        self._offset = 0

    def rich(self, text: str, extras: Mapping[str, Any]) -> dict[str, Any]:
        """Add the log-probabilities."""
        logprobs = legacy_logprobs(extras.get("logprobs", ()), self._top, self._offset)
        self._offset += len(text)
        return {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": None}
