"""A run on a node that nobody awaits: it can be lost, and a node without a slot is asked again."""

import asyncio

import pytest

from adapter_api import (
    EngineFinish,
    EngineOverloaded,
    EngineRequest,
    EngineReset,
    NotBegun,
    Tokens,
)
from mock_adapter import MockAdapter, Script
from orchestrator_core import ReplicaKey
from orchestratord.cloud.calls import NodeCall, NodeCalls

KEY = ReplicaKey("node-1", "pool", "r0")
REQUEST = EngineRequest(task_id="t", prompt="one two")


@pytest.fixture
def engine() -> MockAdapter:
    engine = MockAdapter()
    engine.begins = True
    return engine


async def ends_with(call: NodeCall) -> EngineFinish | Exception:
    end: asyncio.Future[EngineFinish | Exception] = asyncio.get_running_loop().create_future()
    assert call.begin(REQUEST, lambda _: None, end.set_result) is not None
    return await end


async def test_a_begun_run_ends_as_one_that_is_awaited(engine: MockAdapter) -> None:
    call = NodeCall(KEY, engine, lambda: None)
    assert await ends_with(call) == await call.run(REQUEST, lambda _: None)


async def test_a_silent_node_takes_its_begun_runs_with_it(engine: MockAdapter) -> None:
    calls, ends, seen = NodeCalls(), [], []
    call = calls.begin(KEY, engine, lambda: None)
    engine.hold()
    assert call.begin(REQUEST, seen.append, ends.append) is not None
    await engine.started()
    assert calls.lose_silent("node-1", after_s=0.0) == 1
    assert calls.lose_silent("node-1", after_s=0.0) == 1
    (end,) = ends
    assert isinstance(end, EngineReset)
    await engine.idle()
    assert engine.cancelled == ["t"]
    calls.end(call)
    assert calls.nodes() == ()


async def test_a_node_without_a_slot_is_left_to_the_patient_way(engine: MockAdapter) -> None:
    engine.plan(Script(fail=EngineOverloaded("full")))
    call = NodeCall(KEY, engine, lambda: None)
    assert isinstance(await ends_with(call), NotBegun)
    pieces: list[str] = []

    def sink(event: object) -> None:
        assert isinstance(event, Tokens)
        pieces.extend(event.pieces)

    assert (await call.run(REQUEST, sink)).tokens_out == len(pieces) == 2


async def test_what_is_full_after_a_token_is_no_case_for_patience(engine: MockAdapter) -> None:
    engine.plan(Script(fail=EngineOverloaded("full"), fail_after_tokens=1))
    assert isinstance(await ends_with(NodeCall(KEY, engine, lambda: None)), EngineOverloaded)
