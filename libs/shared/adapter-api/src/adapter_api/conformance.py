"""What every adapter must do, as checks to run against it.

The author of an adapter writes a `ScriptedEngine`: an engine of that kind which follows a `Course`,
at best over a real socket. A test then runs each of `CHECKS`; pytest is not needed here:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_the_adapter_conforms(check, scripted_engine):
        await check(scripted_engine)
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from adapter_api.errors import (
    AdapterError,
    EngineFailed,
    EngineOverloaded,
    EngineProtocolError,
    EngineRefused,
    EngineReset,
    EngineTimeout,
    EngineUnreachable,
    NotBegun,
)
from adapter_api.events import EngineFinish, EngineRequest, EventSink, FinishReason, Tokens
from adapter_api.ports import BeginsRuns, WorkerAdapter

LIMIT_S = 30.0
"""For any one call: generous, since the engine may be a real one on a busy machine."""


class Phase(StrEnum):
    """Where a request is inside its engine."""

    QUEUE = "queue"
    """Read, and not answered yet."""
    PROMPT = "prompt"
    """Answered, and no token yet."""
    DECODE = "decode"
    """One token was written."""


class Ending(StrEnum):
    """How a stream ends."""

    FINISH = "finish"
    NO_FINAL = "no_final"
    """An orderly end of the response, without the engine's last event."""
    RESET = "reset"
    """The connection dies."""
    ERROR_EVENT = "error_event"
    """The engine reports an error inside the stream."""


class Trouble(StrEnum):
    """What the engine answers instead of a stream."""

    CONTEXT_TOO_LONG = "context_too_long"
    UNAUTHORIZED = "unauthorized"
    BUSY = "busy"
    """429"""
    LOADING = "loading"
    """503"""
    FAILED = "failed"
    """500"""
    GARBAGE = "garbage"
    """An event that is no JSON."""
    HTML = "html"
    """200 with a web page."""
    WRONG_TYPE = "wrong_type"
    """200 with JSON where a stream was asked for."""
    EMPTY = "empty"
    """200 with no body."""
    UNREACHABLE = "unreachable"
    """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What the scripted engine does with the next generating request."""

    pieces: tuple[str, ...] = ("Hello", ",", " world")
    bytes_per_write: int | None = None
    """Split the response's bytes, wherever that cuts; None writes event by event."""
    stall: Phase | None = None
    """Stay silent from here until the caller leaves."""
    ending: Ending = Ending.FINISH
    trouble: Trouble | None = None
    finish_reason: FinishReason = "stop"
    tokens_in: int = 5
    tokens_out: int = 3


class BeginningAdapter(WorkerAdapter, BeginsRuns, Protocol):
    """An adapter that offers `begin`."""


class ScriptedEngine(Protocol):
    """An engine that does as it is told, and the adapter that talks to it."""

    @property
    def adapter(self) -> WorkerAdapter:
        """The adapter under test."""
        ...

    def follow(self, course: Course) -> None:
        """Do this with every generating request from now on."""
        ...

    async def reached(self) -> None:
        """Wait until a request has come to the point where its course stalls."""
        ...

    async def abandoned(self) -> None:
        """Wait until the engine has noticed that a stalled request's caller left."""
        ...


Check = Callable[[ScriptedEngine], Awaitable[None]]


class Around:
    """Passes on all of an adapter but its `run`."""

    def __init__(self, inner: WorkerAdapter) -> None:
        self.engine = inner.engine
        self.health = inner.health
        self.describe = inner.describe
        self.confirm_stopped = inner.confirm_stopped
        self.tokenize = inner.tokenize
        self.close = inner.close


class ByBegin(Around):
    """An adapter whose `run` goes by its `begin` where that begins a run: the same checks hold."""

    def __init__(self, inner: BeginningAdapter) -> None:
        super().__init__(inner)
        self._inner = inner
        self.begun = 0
        """How many runs were begun so."""

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        """Begin a run, once a question has made a connection, and wait for its end."""
        await self._inner.health()
        end: asyncio.Future[EngineFinish | Exception] = asyncio.get_running_loop().create_future()
        run = self._inner.begin(request, sink, end.set_result)
        if run is None:
            return await self._inner.run(request, sink)
        self.begun += 1
        assert not end.done(), "the end was told before `begin` had returned"
        try:
            outcome = await end
        except asyncio.CancelledError:
            run.cancel()
            raise
        if isinstance(outcome, NotBegun):
            return await self._inner.run(request, sink)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def _request(**fields: object) -> EngineRequest:
    return replace(EngineRequest(task_id="conformance", prompt="Say hello"), **fields)  # type: ignore[arg-type]


async def _text_of(engine: ScriptedEngine, course: Course) -> tuple[str, EngineFinish]:
    pieces: list[str] = []

    def collect(event: object) -> None:
        if isinstance(event, Tokens):
            assert event.pieces, "a Tokens event without a piece"
            assert event.extras is None or len(event.extras) == len(event.pieces)
            pieces.extend(event.pieces)

    engine.follow(course)
    async with asyncio.timeout(LIMIT_S):
        finish = await engine.adapter.run(_request(), collect)
    return "".join(pieces), finish


async def _failure(
    engine: ScriptedEngine, course: Course, request: EngineRequest | None = None
) -> tuple[AdapterError, list[str]]:
    pieces: list[str] = []

    def collect(event: object) -> None:
        if isinstance(event, Tokens):
            pieces.extend(event.pieces)

    engine.follow(course)
    failure: AdapterError | None = None
    try:
        async with asyncio.timeout(LIMIT_S):
            await engine.adapter.run(request or _request(), collect)
    except AdapterError as error:
        failure = error
    assert failure is not None, f"the adapter took {course} for a success"
    assert "http://" not in failure.message, "a message for clients names a URL"
    assert "Say hello" not in failure.message, "a message for clients repeats the prompt"
    return failure, pieces


async def the_text_arrives_whole_and_in_order(engine: ScriptedEngine) -> None:
    """No piece is lost, doubled or moved."""
    course = Course(pieces=tuple(f" {number}" for number in range(200)), tokens_out=200)
    text, _ = await _text_of(engine, course)
    assert text == "".join(course.pieces)


async def the_text_survives_any_split_of_the_bytes(engine: ScriptedEngine) -> None:
    """Event borders and UTF-8 sequences may fall anywhere in a read."""
    course = Course(pieces=("naïve ", "漢字", " 🦙", "\r\n\u2028", '"quoted"\\'))
    for size in (1, 2, 3, 7, 64):
        text, _ = await _text_of(engine, replace(course, bytes_per_write=size))
        assert text == "".join(course.pieces), size


async def the_counts_are_the_engines_own(engine: ScriptedEngine) -> None:
    """Pieces are not counted as tokens: an engine may hold back half characters."""
    _, finish = await _text_of(engine, Course(tokens_in=17, tokens_out=9))
    assert (finish.tokens_in, finish.tokens_out) == (17, 9)


async def the_finish_reason_is_told(engine: ScriptedEngine) -> None:
    """A cut text is `length`, a whole one `stop`."""
    for reason in ("stop", "length"):
        _, finish = await _text_of(engine, Course(finish_reason=reason))
        assert finish.finish_reason == reason


async def runs_beside_each_other_do_not_mix(engine: ScriptedEngine) -> None:
    """Several calls at once each get their own text."""
    course = Course(pieces=tuple("abcdefgh"), bytes_per_write=11)
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(_text_of(engine, course)) for _ in range(4)]
    assert [run.result()[0] for run in runs] == ["abcdefgh"] * 4


async def _cancel_in(engine: ScriptedEngine, phase: Phase) -> None:
    first = asyncio.Event()
    sink: EventSink = lambda event: first.set() if isinstance(event, Tokens) else None  # noqa: E731
    engine.follow(Course(stall=phase))
    async with asyncio.timeout(LIMIT_S):
        async with asyncio.TaskGroup() as group:
            run = group.create_task(engine.adapter.run(_request(), sink))
            await engine.reached()
            if phase is Phase.DECODE:
                await first.wait()
            run.cancel()
        assert run.cancelled()
        await engine.abandoned()
        assert await engine.adapter.confirm_stopped("conformance")
    text, _ = await _text_of(engine, Course())
    assert text == "Hello, world"


async def a_cancel_in_the_queue_reaches_the_engine(engine: ScriptedEngine) -> None:
    """Before any answer."""
    await _cancel_in(engine, Phase.QUEUE)


async def a_cancel_in_the_prompt_reaches_the_engine(engine: ScriptedEngine) -> None:
    """After the headers, before the first token."""
    await _cancel_in(engine, Phase.PROMPT)


async def a_cancel_while_decoding_reaches_the_engine(engine: ScriptedEngine) -> None:
    """After the first token."""
    await _cancel_in(engine, Phase.DECODE)


async def no_first_token_in_time_is_a_timeout(engine: ScriptedEngine) -> None:
    """Whether the engine answered the request or not."""
    for phase in (Phase.QUEUE, Phase.PROMPT):
        request = _request(first_token_timeout_ms=50)
        error, pieces = await _failure(engine, Course(stall=phase), request)
        assert isinstance(error, EngineTimeout)
        assert not pieces
        assert await engine.adapter.confirm_stopped("conformance")


async def silence_while_decoding_is_a_timeout(engine: ScriptedEngine) -> None:
    """The tokens that came are kept."""
    request = _request(idle_timeout_ms=50)
    error, pieces = await _failure(engine, Course(stall=Phase.DECODE), request)
    assert isinstance(error, EngineTimeout)
    assert "".join(pieces) == "Hello"
    assert await engine.adapter.confirm_stopped("conformance")


async def a_stream_that_breaks_is_a_reset(engine: ScriptedEngine) -> None:
    """A dead connection, and an orderly end without the last event, are no success."""
    for ending in (Ending.RESET, Ending.NO_FINAL):
        error, pieces = await _failure(engine, Course(ending=ending))
        assert isinstance(error, EngineReset), (ending, error)
        assert error.retriable
        assert "Hello, world".startswith("".join(pieces))


async def an_error_inside_the_stream_is_a_failure(engine: ScriptedEngine) -> None:
    """The status was 200 long ago."""
    error, _ = await _failure(engine, Course(ending=Ending.ERROR_EVENT))
    assert isinstance(error, EngineFailed)


EXPECTED: dict[Trouble, type[AdapterError]] = {
    Trouble.CONTEXT_TOO_LONG: EngineRefused,
    Trouble.UNAUTHORIZED: EngineFailed,
    Trouble.BUSY: EngineOverloaded,
    Trouble.LOADING: EngineOverloaded,
    Trouble.FAILED: EngineFailed,
    Trouble.GARBAGE: EngineProtocolError,
    Trouble.HTML: EngineProtocolError,
    Trouble.WRONG_TYPE: EngineProtocolError,
    Trouble.EMPTY: EngineProtocolError,
    Trouble.UNREACHABLE: EngineUnreachable,
}
"""The error that each trouble must become. 401 is the operator's fault, never the client's."""


async def every_trouble_has_its_error(engine: ScriptedEngine) -> None:
    """The table above, walked."""
    for trouble, expected in EXPECTED.items():
        error, pieces = await _failure(engine, Course(trouble=trouble))
        assert type(error) is expected, f"{trouble} became {error!r}"
        assert not pieces, trouble


async def a_probe_of_a_dead_engine_is_an_answer(engine: ScriptedEngine) -> None:
    """`health` does not raise."""
    engine.follow(Course(trouble=Trouble.UNREACHABLE))
    async with asyncio.timeout(LIMIT_S):
        health = await engine.adapter.health()
    assert not health.live
    assert not health.ready


CHECKS: tuple[Check, ...] = (
    the_text_arrives_whole_and_in_order,
    the_text_survives_any_split_of_the_bytes,
    the_counts_are_the_engines_own,
    the_finish_reason_is_told,
    runs_beside_each_other_do_not_mix,
    a_cancel_in_the_queue_reaches_the_engine,
    a_cancel_in_the_prompt_reaches_the_engine,
    a_cancel_while_decoding_reaches_the_engine,
    no_first_token_in_time_is_a_timeout,
    silence_while_decoding_is_a_timeout,
    a_stream_that_breaks_is_a_reset,
    an_error_inside_the_stream_is_a_failure,
    every_trouble_has_its_error,
    a_probe_of_a_dead_engine_is_an_answer,
)
