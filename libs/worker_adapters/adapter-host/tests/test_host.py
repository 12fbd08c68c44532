"""Bindings, generations, and adapters that close when their last call has ended."""

import asyncio

import pytest

from adapter_api import EngineOverloaded, EngineRefused, EngineReset
from adapter_host import (
    AdapterHost,
    BreakerOpen,
    BreakerPolicy,
    BreakerState,
    NotBound,
    Outcome,
    ReplicaKey,
    outcome_of,
)
from mock_adapter import MockAdapter

KEY = ReplicaKey("gpu-1:default", "r0")


async def host_with(adapter: MockAdapter) -> AdapterHost:
    host = AdapterHost(BreakerPolicy(faults_to_open=1, open_ms=100))
    assert await host.bind(*KEY, adapter, generation=1)
    return host


async def test_a_bound_adapter_is_found_and_an_unbound_one_is_closed() -> None:
    adapter = MockAdapter()
    host = await host_with(adapter)
    assert host.get(*KEY) is adapter
    assert host.keys() == {KEY}
    assert await host.unbind(*KEY)
    assert host.get(*KEY) is None
    assert adapter.closed
    assert not host.breaker_closed(KEY, 0)
    with pytest.raises(NotBound, match="gpu-1:default/r0"):
        host.begin(KEY, 0)


async def test_a_replaced_adapter_closes_when_its_last_call_ends() -> None:
    old, new = MockAdapter(), MockAdapter()
    host = await host_with(old)
    calls = [host.begin(KEY, 0), host.begin(KEY, 0)]
    assert await host.bind(*KEY, new, generation=2)
    assert host.begin(KEY, 0).adapter is new
    await host.end(calls[0], Outcome.SUCCESS, 0)
    assert not old.closed
    await host.end(calls[1], Outcome.WORKER_FAULT, 0)
    assert old.closed
    assert host.breaker_closed(KEY, 0), "an old engine's fault is not the new one's"


async def test_a_late_message_of_an_older_generation_changes_nothing() -> None:
    current, late = MockAdapter(), MockAdapter()
    host = await host_with(current)
    assert await host.bind(*KEY, current, generation=1)
    assert not await host.bind(*KEY, late, generation=1)
    assert not await host.unbind(*KEY, generation=0)
    assert late.closed
    assert not current.closed
    assert host.get(*KEY) is current


async def test_a_call_is_ended_once() -> None:
    host = await host_with(MockAdapter())
    call = host.begin(KEY, 0)
    await host.end(call, Outcome.NEUTRAL, 0)
    with pytest.raises(RuntimeError, match="twice"):
        await host.end(call, Outcome.NEUTRAL, 0)


async def test_a_worker_fault_opens_the_breaker_and_a_probe_closes_it() -> None:
    host = await host_with(MockAdapter())
    with pytest.raises(EngineReset):
        async with host.call(KEY, lambda: 0):
            raise EngineReset("gone")
    assert not host.breaker_closed(KEY, 99)
    with pytest.raises(BreakerOpen):
        host.begin(KEY, 99)
    async with host.call(KEY, lambda: 100):
        assert host.breaker_state(KEY) is BreakerState.HALF_OPEN
        assert not host.breaker_closed(KEY, 100)
    assert host.breaker_state(KEY) is BreakerState.CLOSED


@pytest.mark.parametrize("error", [EngineRefused("x"), EngineOverloaded("x"), ValueError("x")])
async def test_what_is_not_the_workers_fault_is_neutral(error: Exception) -> None:
    host = await host_with(MockAdapter())
    with pytest.raises(type(error)):
        async with host.call(KEY, lambda: 0):
            raise error
    assert host.breaker_closed(KEY, 0)


async def test_a_cancelled_call_is_neutral_and_ended() -> None:
    adapter = MockAdapter()
    host = await host_with(adapter)
    inside = asyncio.Event()

    async def use() -> None:
        async with host.call(KEY, lambda: 0):
            inside.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(use())
        await inside.wait()
        await host.close()
        assert not adapter.closed
        task.cancel()
    assert adapter.closed


def test_outcomes_follow_the_fault_of_the_error() -> None:
    assert outcome_of(None) is Outcome.SUCCESS
    assert outcome_of(EngineReset("x")) is Outcome.WORKER_FAULT
    assert outcome_of(asyncio.CancelledError()) is Outcome.NEUTRAL


async def test_a_call_that_goes_well_needs_no_clock_while_the_breaker_is_closed() -> None:
    told: list[Outcome] = []
    host = AdapterHost(on_call=lambda _, outcome: told.append(outcome))
    assert host.begin_closed(KEY) is None
    await host.bind(*KEY, MockAdapter(), generation=1)
    call = host.begin_closed(KEY)
    assert call is not None
    assert host.end_well(call)
    with pytest.raises(RuntimeError, match="twice"):
        host.end_well(call)
    failed, late = host.begin_closed(KEY), host.begin_closed(KEY)
    assert failed is not None
    assert late is not None
    host.end_now(failed, Outcome.WORKER_FAULT, 0)
    assert not host.end_well(late), "a success now resets the count of faults"
    host.end_now(late, Outcome.SUCCESS, 0)
    assert told == [Outcome.SUCCESS, Outcome.WORKER_FAULT, Outcome.SUCCESS]


async def test_a_call_that_ends_now_closes_the_replaced_adapter_as_well() -> None:
    host, old = AdapterHost(), MockAdapter()
    await host.bind(*KEY, old, generation=1)
    call = host.begin_closed(KEY)
    assert call is not None
    await host.bind(*KEY, MockAdapter(), generation=2)
    assert not host.end_well(call)
    host.end_now(call, Outcome.SUCCESS, 0)
    await host.close()
    assert old.closed
