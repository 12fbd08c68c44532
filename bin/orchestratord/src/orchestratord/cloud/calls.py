"""The requests that run on nodes now, and which of them went silent together with their node."""

import asyncio
from collections.abc import Callable, Sequence

from adapter_api import (
    EngineDescription,
    EngineEvent,
    EngineFinish,
    EngineHealth,
    EngineOverloaded,
    EngineRequest,
    EngineReset,
    EventSink,
    NotBegun,
    OnRunEnd,
    Run,
    WorkerAdapter,
)
from orchestrator_core import PoolRef, ReplicaKey

BUSY_PAUSES_S = (0.02, 0.05, 0.1, 0.2)
"""A node learns of the end of a request a moment after us: its slot is free soon."""


_SILENT = "the node of this replica is silent"


class NodeCall:
    """An adapter, lent for one attempt: it can be told from outside that its node is lost."""

    def __init__(
        self, key: ReplicaKey, adapter: WorkerAdapter, on_revoked: Callable[[], None]
    ) -> None:
        self.key = key
        self.revoke = on_revoked
        self._adapter = adapter
        self._loop = asyncio.get_running_loop()
        self._moved_s = self._loop.time()
        self._limit: asyncio.Timeout | None = None
        self._run: Run | None = None
        self._on_end: OnRunEnd | None = None
        self._begun = False

    @property
    def engine(self) -> str:
        """The engine kind."""
        return self._adapter.engine

    def silent_s(self) -> float:
        """Return for how long no byte has come."""
        return self._loop.time() - self._moved_s

    def lose(self) -> None:
        """End the run as if its stream had broken."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._loop.time())
        run, self._run = self._run, None
        if run is not None and self._on_end is not None:
            run.cancel()
            self._on_end(EngineReset(_SILENT))

    def begin(self, request: EngineRequest, sink: EventSink, on_end: OnRunEnd) -> Run | None:
        """Begin a run where the adapter can; `run` goes on with it where its node has no slot."""
        begin = getattr(self._adapter, "begin", None)
        if begin is None:
            return None

        def ended(outcome: EngineFinish | Exception) -> None:
            self._run = None
            if isinstance(outcome, EngineOverloaded) and not self._begun:
                outcome = NotBegun("the node had no slot yet")
            on_end(outcome)

        run: Run | None = begin(request, self._noting(sink), ended)
        self._run, self._on_end = run, on_end
        return run

    def _noting(self, sink: EventSink) -> EventSink:
        def noting(event: EngineEvent) -> None:
            self._begun = True
            self._moved_s = self._loop.time()
            sink(event)

        return noting

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        """Run the request; raises `EngineReset` when its node is given up."""
        self._limit = asyncio.timeout(None)
        try:
            async with self._limit:
                return await self._run_patiently(request, self._noting(sink))
        except TimeoutError:
            if self._limit.expired():
                raise EngineReset(_SILENT) from None
            raise
        finally:
            self._limit = None

    async def _run_patiently(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        for pause_s in BUSY_PAUSES_S:
            try:
                return await self._adapter.run(request, sink)
            except EngineOverloaded:
                if self._begun:
                    raise
            await asyncio.sleep(pause_s)
        return await self._adapter.run(request, sink)

    async def health(self) -> EngineHealth:
        """Probe the engine."""
        return await self._adapter.health()

    async def describe(self) -> EngineDescription:
        """Ask the engine what it is."""
        return await self._adapter.describe()

    async def confirm_stopped(self, task_id: str, *, timeout_ms: int = 1_000) -> bool:
        """Wait until the engine has let go of a request."""
        return await self._adapter.confirm_stopped(task_id, timeout_ms=timeout_ms)

    async def tokenize(self, text: str) -> Sequence[int]:
        """Return the engine's token ids of a text."""
        return await self._adapter.tokenize(text)

    async def close(self) -> None:
        """Do nothing: the adapter is the host's to close."""


class NodeCalls:
    """Every call that runs, by node."""

    def __init__(self) -> None:
        self._by_node: dict[str, set[NodeCall]] = {}

    def begin(
        self, key: ReplicaKey, adapter: WorkerAdapter, on_revoked: Callable[[], None]
    ) -> NodeCall:
        """Lend an adapter for one attempt; `end` must follow, once."""
        call = NodeCall(key, adapter, on_revoked)
        self._by_node.setdefault(key.node_id, set()).add(call)
        return call

    def end(self, call: NodeCall) -> None:
        """Take it back."""
        calls = self._by_node[call.key.node_id]
        calls.discard(call)
        if not calls:
            del self._by_node[call.key.node_id]

    def nodes(self) -> tuple[str, ...]:
        """Return the nodes on which something runs."""
        return tuple(self._by_node)

    def lose_silent(self, node_id: str, *, after_s: float) -> int:
        """End what has brought nothing for so long; flowing streams go on. Returns how many."""
        silent = [call for call in self._by_node.get(node_id, ()) if call.silent_s() >= after_s]
        for call in silent:
            call.lose()
        return len(silent)

    def revoke(self, pool: PoolRef) -> None:
        """Have the attempts on a pool ended: a drain has run into its deadline."""
        for call in tuple(self._by_node.get(pool.node_id, ())):
            if call.key.pool == pool:
                call.revoke()
