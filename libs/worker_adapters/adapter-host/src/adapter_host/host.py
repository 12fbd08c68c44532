"""Which adapter serves which replica, and whether the replica is to be trusted now."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from adapter_api import AdapterError, Fault, WorkerAdapter
from adapter_host.breaker import Breaker, BreakerPolicy, BreakerState, Outcome, Ticket
from adapter_host.errors import BreakerOpen, NotBound
from adapter_host.keys import ReplicaKey


@dataclass(slots=True, eq=False)
class _Binding:
    adapter: WorkerAdapter
    generation: int
    breaker: Breaker = field(default_factory=Breaker)
    ticket: Ticket = field(default_factory=lambda: Ticket(0, probe=False))
    """Of every call while the breaker is closed."""
    calls: int = 0
    retired: bool = False


@dataclass(slots=True, eq=False)
class Call:
    """One use of an adapter, begun and not yet ended."""

    key: ReplicaKey
    adapter: WorkerAdapter
    _binding: _Binding
    _ticket: Ticket
    _ended: bool = False


class AdapterHost:
    """Owns the adapters of all replicas and a breaker for each.

    A binding with a higher generation takes over at once for new calls; the old adapter is closed
    when its last call has ended. `on_call` is told how each call has ended, for metrics; it must
    not raise or block. Not for use from several threads.
    """

    def __init__(
        self,
        policy: BreakerPolicy | None = None,
        *,
        on_call: Callable[[ReplicaKey, Outcome], None] = lambda _key, _outcome: None,
    ) -> None:
        self._on_call = on_call
        self._policy = policy or BreakerPolicy()
        self._bound: dict[ReplicaKey, _Binding] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def bind(
        self, pool_id: str, replica_id: str, adapter: WorkerAdapter, *, generation: int
    ) -> bool:
        """Bind, with a fresh breaker; False (and `adapter` is closed) when a newer one is bound."""
        key = ReplicaKey(pool_id, replica_id)
        old = self._bound.get(key)
        if old is not None and old.adapter is adapter and old.generation == generation:
            return True
        if old is not None and old.generation >= generation:
            await adapter.close()
            return False
        self._bound[key] = _Binding(adapter, generation)
        if old is not None:
            await self._retire(old)
        return True

    async def unbind(self, pool_id: str, replica_id: str, *, generation: int | None = None) -> bool:
        """Take a binding away; with a generation, only if it is that one or an older one."""
        key = ReplicaKey(pool_id, replica_id)
        binding = self._bound.get(key)
        if binding is None or (generation is not None and binding.generation > generation):
            return False
        del self._bound[key]
        await self._retire(binding)
        return True

    def get(self, pool_id: str, replica_id: str) -> WorkerAdapter | None:
        """The adapter now bound, for probes; work goes through `begin` or `call`."""
        binding = self._bound.get(ReplicaKey(pool_id, replica_id))
        return None if binding is None else binding.adapter

    def keys(self) -> frozenset[ReplicaKey]:
        """The replicas that have an adapter."""
        return frozenset(self._bound)

    def breaker_closed(self, key: ReplicaKey, now_ms: int) -> bool:
        """Whether a call begun now would be let through; an unbound replica takes none."""
        binding = self._bound.get(key)
        return binding is not None and binding.breaker.admits(self._policy, now_ms)

    def breaker_state(self, key: ReplicaKey) -> BreakerState | None:
        """The breaker's state, for metrics."""
        binding = self._bound.get(key)
        return None if binding is None else binding.breaker.state

    def begin(self, key: ReplicaKey, now_ms: int) -> Call:
        """Begin a call; raises `NotBound` or `BreakerOpen`. `end` must follow, once."""
        binding = self._bound.get(key)
        if binding is None:
            raise NotBound(key)
        binding.breaker, ticket = binding.breaker.begin(self._policy, now_ms)
        if ticket is None:
            raise BreakerOpen(key)
        binding.calls += 1
        return Call(key, binding.adapter, binding, ticket)

    def begin_closed(self, key: ReplicaKey) -> Call | None:
        """Begin a call where the breaker is closed, for which no clock must be asked.

        None, and nothing was begun, where it is not, or where nothing is bound.
        """
        binding = self._bound.get(key)
        if binding is None or binding.breaker.state is not BreakerState.CLOSED:
            return None
        binding.calls += 1
        if binding.ticket.epoch != binding.breaker.epoch:
            binding.ticket = Ticket(binding.breaker.epoch, probe=False)
        return Call(key, binding.adapter, binding, binding.ticket)

    async def end(self, call: Call, outcome: Outcome, now_ms: int) -> None:
        """Record how a call ended; closes its adapter if it was the last of a replaced one."""
        spent = self._end(call, outcome, now_ms)
        if spent is not None:
            await spent.close()

    def end_now(self, call: Call, outcome: Outcome, now_ms: int) -> None:
        """Do what `end` does, without waiting until such an adapter has closed."""
        spent = self._end(call, outcome, now_ms)
        if spent is not None:
            closing = asyncio.get_running_loop().create_task(spent.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def end_well(self, call: Call) -> bool:
        """Record a success where it changes nothing; False, and nothing was done, where it may."""
        binding = call._binding
        breaker = binding.breaker
        if breaker.faults or breaker.state is not BreakerState.CLOSED or binding.retired:
            return False
        if call._ended:
            raise _ended_twice(call)
        call._ended = True
        binding.calls -= 1
        self._on_call(call.key, Outcome.SUCCESS)
        return True

    def _end(self, call: Call, outcome: Outcome, now_ms: int) -> WorkerAdapter | None:
        if call._ended:
            raise _ended_twice(call)
        call._ended = True
        binding = call._binding
        binding.breaker = binding.breaker.end(
            call._ticket, outcome, policy=self._policy, now_ms=now_ms
        )
        binding.calls -= 1
        self._on_call(call.key, outcome)
        return binding.adapter if binding.retired and binding.calls == 0 else None

    @asynccontextmanager
    async def call(self, key: ReplicaKey, clock: Callable[[], int]) -> AsyncIterator[WorkerAdapter]:
        """Begin and end a call around a block; the exception that leaves it gives the outcome."""
        begun = self.begin(key, clock())
        outcome = Outcome.NEUTRAL
        try:
            yield begun.adapter
            outcome = Outcome.SUCCESS
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            await self.end(begun, outcome, clock())

    async def close(self) -> None:
        """Unbind everything; adapters with calls under way close when these end."""
        for key in list(self._bound):
            await self.unbind(*key)
        await asyncio.gather(*self._closing)

    async def _retire(self, binding: _Binding) -> None:
        binding.retired = True
        if binding.calls == 0:
            await binding.adapter.close()


def _ended_twice(call: Call) -> RuntimeError:
    return RuntimeError(f"a call to {call.key} was ended twice")


def outcome_of(error: BaseException | None) -> Outcome:
    """What an ended `run` says of its replica: only a worker's own fault counts against it."""
    if error is None:
        return Outcome.SUCCESS
    if isinstance(error, AdapterError) and error.fault is Fault.WORKER:
        return Outcome.WORKER_FAULT
    return Outcome.NEUTRAL
