"""From the bytes of a stream to events: one `Tokens` for all that one read brought."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from adapter_api import (
    EngineFinish,
    EngineProtocolError,
    EngineReset,
    EventSink,
    FinishReason,
    Progress,
    Tokens,
)
from llamacpp_http.refusals import error_of_body
from llamacpp_http.wire import ChatChunk, Choice, CompletionChunk, PromptProgress, Timings, Usage
from worker_http import AlikeEvents, SseDecoder, decoded, decoded_whole

_completion_decoder = msgspec.json.Decoder(CompletionChunk)
_chat_decoder = msgspec.json.Decoder(ChatChunk)

_DONE = b"[DONE]"
_NO_CHOICE = (Choice(finish_reason="none"),)
"""Stands where an event has no choice, which is never plain text."""
_FEW = 3
"""Events that are decoded in less time than it takes to see that they are alike."""
_FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
}


class StreamReader:
    """What both kinds of stream have in common; `feed` is called once for each read."""

    def __init__(self, sink: EventSink, *, seed: int) -> None:
        self.finish: EngineFinish | None = None
        self.in_slot = False
        """Whether the engine has begun: it answers a request only when a slot has taken it."""
        self._sink = sink
        self._seed = seed
        self._sse = SseDecoder()
        self._whole = False
        self._pieces: list[str] = []
        self._extras: list[Mapping[str, Any] | None] | None = None

    def feed(self, data: bytes) -> bool:
        """Decode a read and hand on its tokens; True when there were any."""
        self.in_slot = True
        events = self._sse.feed_whole(data)
        if events is not None and not events[1:] and not self._whole:
            text = self._plain(events[0])
            if text:  # The usual read where tokens come one by one.
                self._sink(Tokens((text,)))
                return True
        try:
            if events is None:
                self._take_some(self._sse.feed_data(data))
            else:
                self._take_whole(events)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._flush()
            raise EngineProtocolError("an event of the engine's stream is not its JSON") from None
        except BaseException:
            self._flush()
            raise
        return self._flush(last=self._whole and self.finish is not None)

    def feed_last(self, data: bytes) -> bool:
        """The same for a read with which the response is whole."""
        self._whole = True
        return self.feed(data)

    def end(self) -> EngineFinish:
        """The finish, once the stream is over; `EngineReset` when it broke off."""
        if self.finish is None:
            raise EngineReset("the engine's stream ended before its last event")
        return self.finish

    def _plain(self, event: bytes) -> str:
        """The text of an event that has nothing else; of any other nothing."""
        raise NotImplementedError

    def _take_whole(self, events: list[bytes]) -> None:
        """Take the usual read: whole events of one line each."""
        raise NotImplementedError

    def _take_some(self, events: list[bytes]) -> None:
        """Take events one by one."""
        raise NotImplementedError

    def _piece(self, text: str, extra: Mapping[str, Any] | None) -> None:
        if extra is not None and self._extras is None:
            self._extras = [None] * len(self._pieces)
        self._pieces.append(text)
        if self._extras is not None:
            self._extras.append(extra)

    def _progress(self, progress: PromptProgress) -> None:
        self._flush()
        self._sink(Progress(progress.processed, progress.total))

    def _flush(self, *, last: bool = False) -> bool:
        pieces = self._pieces
        if not pieces:
            return False
        extras = None
        if self._extras is not None:
            extras, self._extras = tuple(self._extras), None
        self._pieces = []
        self._sink(Tokens(tuple(pieces), extras, last))
        return True

    def _finished(
        self, reason: FinishReason, tokens_in: int, tokens_out: int, timings: Timings | None
    ) -> None:
        timings = timings or Timings()
        self.finish = EngineFinish(
            finish_reason=reason,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            seed=self._seed,
            prompt_ms=timings.prompt_ms,
            decode_ms=timings.predicted_ms,
            tokens_cached=timings.cache_n,
        )


class CompletionReader(StreamReader):
    """Reads `/completion`."""

    def _plain(self, event: bytes) -> str:
        try:
            chunk = _completion_decoder.decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        rare = chunk.stop or chunk.completion_probabilities or chunk.prompt_progress or chunk.error
        return "" if rare else chunk.content

    def _take_whole(self, events: list[bytes]) -> None:
        chunks = decoded_whole(_completion_decoder, events)
        if chunks is None:
            self._take_some(events)
            return
        # In place: this is done for each token.
        texts = [
            ""
            if chunk.stop or chunk.completion_probabilities or chunk.prompt_progress or chunk.error
            else chunk.content
            for chunk in chunks
        ]
        if "" not in texts:
            self._pieces += texts
            return
        rare = texts.index("")
        self._pieces += texts[:rare]
        self._take(chunks[rare:])

    def _take_some(self, events: list[bytes]) -> None:
        self._take(decoded(_completion_decoder, _without_done(events)))

    def _take(self, chunks: Iterable[CompletionChunk]) -> None:
        for chunk in chunks:
            text = chunk.content
            if (
                text
                and not (chunk.stop or chunk.completion_probabilities)
                and not (chunk.prompt_progress or chunk.error)
                and self._extras is None
            ):
                self._pieces.append(text)
            else:
                self._rare(chunk)

    def _rare(self, chunk: CompletionChunk) -> None:
        if chunk.error is not None:
            raise error_of_body(chunk.error)
        if chunk.prompt_progress is not None:
            self._progress(chunk.prompt_progress)
        logprobs = chunk.completion_probabilities
        if chunk.content or logprobs:
            self._piece(chunk.content, {"logprobs": logprobs} if logprobs else None)
        if chunk.stop:
            if chunk.tokens_evaluated is None or chunk.tokens_predicted is None:
                raise EngineProtocolError("the engine's last event has no token counts")
            # Only these two are whole: a text cut at the context's end is `limit`.
            whole = chunk.stop_type in ("eos", "word")
            self._finished(
                "stop" if whole else "length",
                chunk.tokens_evaluated,
                chunk.tokens_predicted,
                chunk.timings,
            )


class ChatReader(StreamReader):
    """Reads `/v1/chat/completions` with its usage."""

    def __init__(self, sink: EventSink, *, seed: int) -> None:
        super().__init__(sink, seed=seed)
        self._reason: FinishReason | None = None
        self._alike = AlikeEvents()

    def _plain(self, event: bytes) -> str:
        text = self._alike.text_of(event)
        if not text:
            text = self._plain_of_new(event)
            if text:
                self._alike.learn(event, text)
        return text

    def _plain_of_new(self, event: bytes) -> str:
        try:
            chunk = _chat_decoder.decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        choices = chunk.choices
        if not choices or choices[1:] or chunk.usage or chunk.prompt_progress or chunk.error:
            return ""
        choice = choices[0]
        delta = choice.delta
        rare = choice.logprobs or delta.reasoning_content or delta.tool_calls
        return "" if rare or choice.finish_reason is not None else delta.content or ""

    def _take_whole(self, events: list[bytes]) -> None:
        if events[-1] == _DONE:
            events.pop()
        if len(events) > _FEW and self._extras is None:
            events = self._take_alike(events)
        if not events:
            return
        chunks = decoded_whole(_chat_decoder, events)
        if chunks is None:
            self._take_some(events)
            return
        # In place: this is done for each token.
        texts = [
            ""
            if choice.finish_reason is not None
            or choice.logprobs
            or choice.delta.reasoning_content
            or choice.delta.tool_calls
            or chunk.usage
            or chunk.prompt_progress
            or chunk.error
            else choice.delta.content or ""
            for chunk in chunks
            for choice in chunk.choices or _NO_CHOICE
        ]
        if len(texts) != len(
            events
        ):  # Several choices in one: their texts are not those of events.
            self._take(chunks)
        elif "" not in texts:
            self._pieces += texts
        else:
            rare = texts.index("")
            self._pieces += texts[:rare]
            self._take(chunks[rare:])

    def _take_alike(self, events: list[bytes]) -> list[bytes]:
        """Take the events at the beginning that differ in their text only; returns the others."""
        texts = self._alike.texts_of(events)
        if texts is None and self._plain(events[0]):
            texts = self._alike.texts_of(events)
        if texts is None or "" in texts:
            return events
        self._pieces += texts
        return events[len(texts) :]

    def _take_some(self, events: list[bytes]) -> None:
        self._take(decoded(_chat_decoder, _without_done(events)))

    def _take(self, chunks: Iterable[ChatChunk]) -> None:
        for chunk in chunks:
            choices = chunk.choices
            if len(choices) == 1 and not (chunk.usage or chunk.prompt_progress or chunk.error):
                choice = choices[0]
                delta = choice.delta
                text = delta.content
                if (
                    text
                    and choice.finish_reason is None
                    and not (choice.logprobs or delta.reasoning_content or delta.tool_calls)
                    and self._extras is None
                ):
                    self._pieces.append(text)
                    continue
            self._rare(chunk)

    def _rare(self, chunk: ChatChunk) -> None:
        if chunk.error is not None:
            raise error_of_body(chunk.error)
        if chunk.prompt_progress is not None:
            self._progress(chunk.prompt_progress)
        for choice in chunk.choices:
            self._choice(choice)
        if chunk.usage is not None:
            self._usage(chunk.usage, chunk.timings)

    def _choice(self, choice: Choice) -> None:
        delta = choice.delta
        extra: dict[str, Any] = {}
        if choice.logprobs is not None and choice.logprobs.content:
            extra["logprobs"] = choice.logprobs.content
        if delta.reasoning_content:
            extra["reasoning"] = delta.reasoning_content
        if delta.tool_calls:
            extra["tool_calls"] = delta.tool_calls
        if delta.content or extra:
            self._piece(delta.content or "", extra or None)
        if choice.finish_reason is not None:
            self._reason = _FINISH_REASONS.get(choice.finish_reason)
            if self._reason is None:
                raise EngineProtocolError("the engine named a finish reason that it does not have")

    def _usage(self, usage: Usage, timings: Timings | None) -> None:
        if self._reason is None:
            raise EngineProtocolError("the engine sent its counts before a finish reason")
        self._finished(self._reason, usage.prompt_tokens, usage.completion_tokens, timings)


def _without_done(events: list[bytes]) -> list[bytes]:
    return [event for event in events if event != _DONE] if _DONE in events else events
