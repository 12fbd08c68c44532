"""An engine that exists only in this process, and does as it is told."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from adapter_api import (
    EngineDescription,
    EngineFinish,
    EngineHealth,
    EngineRequest,
    EngineTimeout,
    EventSink,
    OnRunEnd,
    Tokens,
)
from mock_adapter.answers import answer, prompt_text
from mock_adapter.begun import BegunRun
from mock_adapter.gate import TokenGate
from mock_adapter.script import Script


class MockAdapter:
    """A scriptable `WorkerAdapter` whose tokens pass a gate that the test holds.

    `sleep` (seconds) is used only by scripts with a pace; a test hands in its fake clock's.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        slots: int = 4,
        ctx_max: int = 4096,
        model: str = "mock-model",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.script = script or Script()
        self.slots = slots
        self.ctx_max = ctx_max
        self.model = model
        self.live = True
        self.ready = True
        self.stops_slowly = False
        """`confirm_stopped` waits for `let_stop`."""
        self.begins = False
        """Whether `begin` does what `run` does."""
        self.never_stops = False
        """`confirm_stopped` answers False at once, as if its time were over."""
        self.running: set[str] = set()
        self.peak_running = 0
        self.requests: list[EngineRequest] = []
        self.cancelled: list[str] = []
        self.confirmed: list[str] = []
        self.closed = False
        self._sleep = sleep
        self._next: deque[Script] = deque()
        self._gate = TokenGate()
        self._changed = asyncio.Condition()
        self._may_stop = asyncio.Event()
        self._started_ids: set[str] = set()

    @property
    def engine(self) -> str:
        """The engine kind."""
        return "mock"

    def plan(self, *scripts: Script) -> None:
        """The next runs follow these scripts, one each, before the default one again."""
        self._next.extend(scripts)

    def hold(self) -> None:
        """Keep every token back until `release`."""
        self._gate.hold()

    def release(self, tokens: int | None = None) -> None:
        """Let so many tokens through, over all runs in their order; without a number, all."""
        self._gate.release(tokens)

    def let_stop(self) -> None:
        """Let a slow stop come to its end."""
        self._may_stop.set()

    async def started(self, task_id: str | None = None) -> None:
        """Wait until this task's run, or any, has reached the engine."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: bool(self._started_ids) if task_id is None else task_id in self._started_ids
            )

    async def idle(self) -> None:
        """Wait until nothing runs."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.running)

    async def health(self) -> EngineHealth:
        """As `live` and `ready` are set."""
        return EngineHealth(live=self.live, ready=self.live and self.ready)

    async def describe(self) -> EngineDescription:
        """An engine that does everything."""
        return EngineDescription(
            engine=self.engine,
            engine_version="1",
            model=self.model,
            slots=self.slots,
            ctx_max=self.ctx_max,
            workloads=("completion", "embedding", "rerank"),
            features=frozenset({"chat", "progress"}),
        )

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        """Follow the next script."""
        script = self._next.popleft() if self._next else self.script
        self.requests.append(request)
        self.running.add(request.task_id)
        self._started_ids.add(request.task_id)
        self.peak_running = max(self.peak_running, len(self.running))
        try:
            await self._tell()
            return await self._follow(script, request, sink)
        except asyncio.CancelledError:
            self.cancelled.append(request.task_id)
            raise
        finally:
            self.running.discard(request.task_id)
            await asyncio.shield(self._tell())

    def begin(self, request: EngineRequest, sink: EventSink, on_end: OnRunEnd) -> BegunRun | None:
        """Begin a run that nobody awaits, where `begins` says so."""
        return BegunRun(self.run(request, sink), on_end) if self.begins else None

    async def confirm_stopped(self, task_id: str, *, timeout_ms: int = 1_000) -> bool:
        """At once, or as `stops_slowly` and `never_stops` say."""
        self.confirmed.append(task_id)
        if self.never_stops:
            return False
        if self.stops_slowly:
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._may_stop.wait()
            except TimeoutError:
                return False
        return True

    async def tokenize(self, text: str) -> Sequence[int]:
        """One token a word, counted from 1."""
        return list(range(1, len(text.split()) + 1))

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _follow(
        self, script: Script, request: EngineRequest, sink: EventSink
    ) -> EngineFinish:
        text = prompt_text(request)
        tokens_in = len(text.split()) if script.tokens_in is None else script.tokens_in
        if script.fail is not None and not script.fail_after_tokens:
            raise script.fail
        if request.workload != "completion":
            await self._gate.pass_one()
            sink(answer(request))
            return EngineFinish(finish_reason="stop", tokens_in=tokens_in, tokens_out=0)
        for progress in script.progress:
            sink(progress)
        pieces = text.split() if script.pieces is None else list(script.pieces)
        pieces = _rest_of(pieces, request.text_so_far)
        cut = pieces[: request.max_tokens]
        await self._decode(cut, script, request, sink)
        return EngineFinish(
            finish_reason=script.finish_reason or ("length" if len(cut) < len(pieces) else "stop"),
            tokens_in=tokens_in,
            tokens_out=len(cut) if script.tokens_out is None else script.tokens_out,
            seed=0 if request.seed is None else request.seed,
        )

    async def _decode(
        self, pieces: Sequence[str], script: Script, request: EngineRequest, sink: EventSink
    ) -> None:
        done = 0
        while done < len(pieces):
            if done == script.hang_after_tokens:
                await self._in_time(asyncio.Event().wait(), done, request)
            read: list[str] = []
            for piece in pieces[done : done + script.tokens_per_read]:
                await self._in_time(self._gate.pass_one(), done, request)
                read.append(piece)
                done += 1
                if done in (script.fail_after_tokens, script.hang_after_tokens):
                    break
            if script.pace_ms:
                await self._sleep(script.pace_ms / 1000)
            else:
                await asyncio.sleep(0)
            sink(Tokens(tuple(read)))
            if script.fail is not None and done >= script.fail_after_tokens:
                raise script.fail
        if script.fail is not None:
            raise script.fail

    async def _in_time(self, waiting: Awaitable[object], done: int, request: EngineRequest) -> None:
        limit_ms = request.idle_timeout_ms if done else request.first_token_timeout_ms
        try:
            async with asyncio.timeout(limit_ms / 1000):
                await waiting
        except TimeoutError:
            raise EngineTimeout(f"the engine was silent for {limit_ms} ms") from None


def _rest_of(pieces: list[str], text_so_far: str) -> list[str]:
    """The pieces behind a text that was given before; all of them if they do not begin with it."""
    given = 0
    for count in range(len(pieces) + 1):
        if given == len(text_so_far):
            return pieces[count:]
        if count < len(pieces) and text_so_far.startswith(pieces[count], given):
            given += len(pieces[count])
        else:
            break
    return pieces
