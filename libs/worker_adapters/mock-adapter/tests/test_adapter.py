"""MockAdapter does what its script and its gate say."""

import asyncio

import pytest

from adapter_api import EngineEvent, EngineOverloaded, EngineRequest, EngineReset, Result, Tokens
from mock_adapter import MockAdapter, Script


def request(task_id: str = "t1", prompt: str = "one two three", **fields: object) -> EngineRequest:
    return EngineRequest(task_id=task_id, prompt=prompt, **fields)


async def test_without_a_script_it_says_the_prompt_back() -> None:
    events: list[EngineEvent] = []
    finish = await MockAdapter().run(request(seed=7), events.append)
    assert events == [Tokens(("one",)), Tokens(("two",)), Tokens(("three",))]
    assert (finish.finish_reason, finish.tokens_in, finish.tokens_out) == ("stop", 3, 3)
    assert finish.seed == 7


async def test_a_token_limit_ends_with_length() -> None:
    finish = await MockAdapter().run(request(max_tokens=2), lambda _: None)
    assert (finish.finish_reason, finish.tokens_out) == ("length", 2)


async def test_held_tokens_come_only_as_they_are_released() -> None:
    adapter = MockAdapter()
    adapter.hold()
    events: list[EngineEvent] = []
    async with asyncio.TaskGroup() as group:
        run = group.create_task(adapter.run(request(), events.append))
        await adapter.started("t1")
        assert adapter.running == {"t1"}
        adapter.release(2)
        while len(events) < 2:
            await asyncio.sleep(0)
        assert not run.done()
        adapter.release()
    assert len(events) == 3
    assert adapter.running == set()


async def test_a_cancelled_waiter_takes_no_released_token_with_it() -> None:
    adapter = MockAdapter()
    adapter.hold()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(adapter.run(request("a", "x"), lambda _: None))
        await adapter.started("a")
        second = group.create_task(adapter.run(request("b", "y"), lambda _: None))
        await adapter.started("b")
        adapter.release(1)
        first.cancel()
        await second
    assert adapter.cancelled == ["a"]
    assert adapter.peak_running == 2


async def test_a_refusal_comes_before_any_token_and_a_reset_after_its_number() -> None:
    adapter = MockAdapter()
    adapter.plan(
        Script(fail=EngineOverloaded("full")), Script(fail=EngineReset("gone"), fail_after_tokens=2)
    )
    events: list[EngineEvent] = []
    with pytest.raises(EngineOverloaded):
        await adapter.run(request(), events.append)
    assert events == []
    with pytest.raises(EngineReset):
        await adapter.run(request(), events.append)
    assert len(events) == 2
    assert (await adapter.run(request(), events.append)).tokens_out == 3


async def test_a_slow_stop_is_confirmed_once_it_is_let() -> None:
    adapter = MockAdapter()
    adapter.stops_slowly = True
    async with asyncio.TaskGroup() as group:
        confirmation = group.create_task(adapter.confirm_stopped("t1"))
        await asyncio.sleep(0)
        assert not confirmation.done()
        adapter.let_stop()
    assert confirmation.result()
    adapter.never_stops = True
    assert not await adapter.confirm_stopped("t1")
    assert adapter.confirmed == ["t1", "t1"]


async def test_reads_bring_as_many_tokens_as_the_script_says() -> None:
    events: list[EngineEvent] = []
    script = Script(pieces=["a", "b", "c"], tokens_per_read=2, tokens_out=99)
    finish = await MockAdapter(script).run(request(), events.append)
    assert events == [Tokens(("a", "b")), Tokens(("c",))]
    assert finish.tokens_out == 99


async def test_embeddings_and_rankings_are_the_same_every_time() -> None:
    events: list[EngineEvent] = []
    adapter = MockAdapter()
    for _ in range(2):
        await adapter.run(
            EngineRequest(task_id="e", workload="embedding", inputs=["x", "y"]), events.append
        )
    assert events[0] == events[1]
    await adapter.run(
        EngineRequest(
            task_id="r", workload="rerank", query="blue sky", inputs=["red earth", "a blue sky"]
        ),
        events.append,
    )
    assert isinstance(events[2], Result)
    assert [entry["index"] for entry in events[2].data["ranking"]] == [1, 0]
