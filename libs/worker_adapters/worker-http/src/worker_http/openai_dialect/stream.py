"""From the bytes of a stream to events: one `Tokens` for all that one read brought."""

from collections.abc import Mapping
from typing import Any

import msgspec

from adapter_api import (
    EngineFailed,
    EngineFinish,
    EngineProtocolError,
    EngineReset,
    EventSink,
    FinishReason,
    Progress,
    Tokens,
)
from worker_http.chunks import decoded
from worker_http.openai_dialect.refusals import error_in_stream
from worker_http.openai_dialect.wire import Choice, Chunk, Logprobs, Timings, Usage
from worker_http.sse import SseDecoder

_decoder = msgspec.json.Decoder(Chunk)

_DONE = b"[DONE]"
_FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos_token": "stop",  # TGI
    "stop_sequence": "stop",  # TGI
    "length": "length",
    "tool_calls": "tool_calls",
}


class StreamReader:
    """Reads `/v1/completions` and `/v1/chat/completions`; `feed` is called once for each read.

    A stream is a success only with a finish reason that says so and with the engine's counts:
    an engine that shuts down ends its streams in good order, with a 200 and `abort`.
    """

    def __init__(self, sink: EventSink, *, seed: int | None) -> None:
        self.begun = False
        """Whether the engine has said anything."""
        self._sink = sink
        self._seed = seed
        self._sse = SseDecoder()
        self._pieces: list[str] = []
        self._extras: list[Mapping[str, Any] | None] | None = None
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._timings = Timings()

    @property
    def finish(self) -> EngineFinish | None:
        """The finish, once reason and counts are there."""
        if self._reason is None or self._usage is None:
            return None
        details = self._usage.prompt_tokens_details
        return EngineFinish(
            finish_reason=self._reason,
            tokens_in=self._usage.tokens_in,
            tokens_out=self._usage.completion_tokens or 0,
            seed=self._seed,
            prompt_ms=self._timings.prompt_ms,
            decode_ms=self._timings.predicted_ms,
            tokens_cached=None if details is None else details.cached_tokens,
        )

    def feed(self, data: bytes) -> bool:
        """Decode a read and hand on its tokens; True when there were any."""
        self.begun = True
        events = self._sse.feed_data(data)
        if _DONE in events:
            events = [event for event in events if event != _DONE]
        pieces = self._pieces
        try:
            for chunk in decoded(_decoder, events):
                text = chunk.plain_text
                if text and self._extras is None:
                    pieces.append(text)
                else:
                    self._take(chunk)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._flush()
            raise EngineProtocolError("an event of the engine's stream is not its JSON") from None
        except BaseException:
            self._flush()
            raise
        return self._flush()

    def end(self) -> EngineFinish:
        """The finish, once the stream is over; `EngineReset` when it broke off."""
        if (finish := self.finish) is None:
            missing = "a finish reason" if self._reason is None else "its counts"
            raise EngineReset(f"the engine's stream ended without {missing}")
        return finish

    def _take(self, chunk: Chunk) -> None:
        if chunk.error is not None:
            raise error_in_stream(chunk.error)
        if chunk.prompt_progress is not None:
            self._flush()
            progress = chunk.prompt_progress
            self._sink(Progress(progress.processed, progress.total))
        for choice in chunk.choices:
            self._choice(choice)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.timings is not None:
            self._timings = chunk.timings

    def _choice(self, choice: Choice) -> None:
        text, extra = choice.text or "", dict[str, Any]()
        if choice.logprobs is not None and (entries := _entries(choice.logprobs)):
            extra["logprobs"] = entries
        if (delta := choice.delta) is not None:
            text = delta.content or text
            if reasoning := delta.reasoning_content or delta.reasoning:
                extra["reasoning"] = reasoning
            if delta.tool_calls:
                extra["tool_calls"] = delta.tool_calls
        if text or extra:
            self._piece(text, extra or None)
        if choice.finish_reason is not None:
            self._reason = _finish_reason(choice.finish_reason)

    def _piece(self, text: str, extra: Mapping[str, Any] | None) -> None:
        if extra is not None and self._extras is None:
            self._extras = [None] * len(self._pieces)
        self._pieces.append(text)
        if self._extras is not None:
            self._extras.append(extra)

    def _flush(self) -> bool:
        pieces = self._pieces
        if not pieces:
            return False
        extras = None
        if self._extras is not None:
            extras, self._extras = tuple(self._extras), None
        tokens = Tokens(tuple(pieces), extras)
        pieces.clear()
        self._sink(tokens)
        return True


def _finish_reason(told: str) -> FinishReason:
    if told == "abort":
        raise EngineReset("the engine gave the request up")
    if told == "error":
        raise EngineFailed("the engine failed in the middle of the request")
    if (reason := _FINISH_REASONS.get(told)) is None:
        raise EngineProtocolError("the engine named a finish reason that is unknown here")
    return reason


def _entries(logprobs: Logprobs) -> list[dict[str, Any]]:
    """One entry a token, in the chat's form whichever form came."""
    if logprobs.content is not None:
        return logprobs.content
    tokens = logprobs.tokens or []
    own = logprobs.token_logprobs or [None] * len(tokens)
    best = logprobs.top_logprobs or [None] * len(tokens)
    return [
        {
            "token": token,
            "logprob": logprob,
            "top_logprobs": [
                {"token": other, "logprob": value} for other, value in (top or {}).items()
            ],
        }
        for token, logprob, top in zip(tokens, own, best, strict=False)
    ]
