"""From submit to the terminal frame, over scripted engines."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from adapter_api import EngineFailed, EngineRefused, EngineReset, EngineTimeout, EngineUnreachable
from admission_coordinator import SessionLimits
from admission_coordinator.telling import TOLD_AT_ONCE
from admission_coordinator.testing import check_grammar
from api_types import ApiError, ErrorCode, TaskRequest, TaskState
from mock_adapter import Script
from orchestrator_core import FullPolicy, ReplicaKey
from pool_registry_types import HealthState

Worlds = Any
"""The fixture of conftest: builds a coordinator over scripted engines."""


async def test_a_task_streams_started_tokens_and_end_with_true_counts(world_of: Worlds) -> None:
    async with world_of() as world:
        task = world.submit("the cat sat")
        frames = await world.frames(task)
        assert check_grammar(frames) == "thecatsat"
        assert [f.event for f in frames] == ["started", "token", "token", "token", "end"]
        assert frames[0].data["queue_position"] == 0
        assert frames[0].data["pool_id"] == "pool-a"
        assert frames[-1].data["tokens_in"] == 3
        assert frames[-1].data["tokens_out"] == 3
        assert frames[-1].data["finish_reason"] == "stop"
        status = world.coordinator.status(task.task_id, identity="me")
        assert status.state is TaskState.FINISHED
        assert status.text == "thecatsat"
        assert status.placement.candidates[0].refused is None


async def test_a_submission_names_the_engine_as_soon_as_its_task_is_bound(
    world_of: Worlds,
) -> None:
    async with world_of() as world:
        world.engine().hold()
        running, waiting = (
            world.coordinator.submit(
                TaskRequest(prompt=prompt), identity="me", correlation_id="c", size_bytes=1
            )
            for prompt in ("first", "second")
        )
        assert (running.engine, waiting.engine) == ("mock", None)
        world.engine().release()
        await world.frames(waiting.task)
        assert waiting.engine == "mock"


async def test_tasks_of_one_identity_run_in_the_order_they_came(world_of: Worlds) -> None:
    async with world_of({"pool-a": 4}, capacity=1000) as world:
        tasks = [world.submit(f"task {n}") for n in range(200)]
        for task in tasks:
            frames = await world.frames(task)
            assert [f.event for f in frames if f.event != "metrics"][-1] == "end"
        dispatched = [task_id for what, task_id in world.observer.seen if what == "dispatched"]
        assert dispatched == [task.task_id for task in tasks]
        assert sum(what == "ended" for what, _ in world.observer.seen) == 200
        assert world.engine().peak_running == 4
        world.cluster.check_invariants()


async def test_interactive_tasks_go_before_batch_tasks(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().hold()
        first = world.submit("first")
        batch = world.submit("batch", priority="batch")
        interactive = world.submit("interactive")
        world.engine().release()
        for task in (first, batch, interactive):
            await world.frames(task)
        dispatched = [task_id for what, task_id in world.observer.seen if what == "dispatched"]
        assert dispatched == [first.task_id, interactive.task_id, batch.task_id]


async def test_a_waiting_reader_is_told_of_every_change_of_its_place(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().hold()
        tasks = [world.submit(f"t{n}") for n in range(4)]
        reading = asyncio.ensure_future(world.frames(tasks[3]))
        await world.engine().started(tasks[0].task_id)
        await asyncio.sleep(0.01)
        world.engine().release()
        frames = await reading
        assert frames[0].data["queue_position"] == 3
        told = [f.data["queue_position"] for f in frames if f.event == "metrics"]
        assert told[-1] == 0
        assert told == sorted(told, reverse=True)
        assert [f for f in frames if f.event == "metrics"][-1].data["pool_id"] == "pool-a"


async def test_a_waiting_reader_hears_something_every_five_seconds(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().hold()
        world.submit("first")
        task = world.submit("second", deadline_ms=3_600_000)
        cursor = world.coordinator.open_stream(task.task_id, identity="me")
        assert cursor is not None
        assert b"started" in await cursor.read(timeout_s=1)
        world.clock.ms += 5_000
        data = await cursor.read(timeout_s=1)
        assert b"event: metrics" in data
        assert b'"queue_position":1' in data
        cursor.close()


async def test_many_waiting_readers_are_told_in_parts(world_of: Worlds) -> None:
    async with world_of(capacity=1000) as world:
        world.engine().hold()
        world.submit("first")
        tasks = [world.submit("next", deadline_ms=3_600_000) for _ in range(2 * TOLD_AT_ONCE + 50)]
        cursors = [world.coordinator.open_stream(t.task_id, identity="me") for t in tasks]
        world.clock.ms += 5_000
        told, most_at_once = 0, 0
        async with asyncio.timeout(20):
            while told < len(tasks):
                await asyncio.sleep(0)
                before, told = told, sum(task.told_at_ms == world.clock.ms for task in tasks)
                most_at_once = max(most_at_once, told - before)
        assert most_at_once == TOLD_AT_ONCE
        for cursor in cursors:
            assert cursor is not None
            cursor.close()


async def test_cancel_in_the_queue_ends_the_stream_and_never_reaches_an_engine(
    world_of: Worlds,
) -> None:
    async with world_of() as world:
        world.engine().hold()
        running = world.submit("running")
        waiting = world.submit("waiting")
        world.coordinator.cancel(waiting.task_id, identity="me")
        frames = await world.frames(waiting)
        assert frames[-1].data["code"] == "CANCELED"
        assert world.coordinator.status(waiting.task_id, identity="me").state is TaskState.CANCELED
        world.engine().release()
        await world.frames(running)
        assert [r.task_id for r in world.engine().requests] == [running.task_id]


async def test_no_token_follows_a_cancel_and_the_slot_is_free_once_the_engine_says_so(
    world_of: Worlds,
) -> None:
    async with world_of(stop_timeout_ms=5_000) as world:
        engine = world.engine()
        engine.hold()
        engine.stops_slowly = True
        task = world.submit("a b c d e")
        next_task = world.submit("next")
        cursor = world.coordinator.open_stream(task.task_id, identity="me")
        assert cursor is not None
        await engine.started(task.task_id)
        engine.release(2)
        seen = b""
        while seen.count(b"event: token") < 2:
            seen += await cursor.read(timeout_s=2)
        world.coordinator.cancel(task.task_id, identity="me")
        assert world.coordinator.status(task.task_id, identity="me").state is TaskState.STOPPING
        engine.release()
        rest = b""
        while not cursor.ended:
            rest += await cursor.read(timeout_s=2)
        assert b"event: token" not in rest
        assert b"CANCELED" in rest
        assert world.coordinator.status(next_task.task_id, identity="me").state is TaskState.QUEUED
        engine.let_stop()
        assert check_grammar(await world.frames(next_task)) == "next"
        world.coordinator.cancel(task.task_id, identity="me")
        cursor.close()


async def test_an_engine_that_does_not_confirm_a_stop_gets_no_new_task_until_it_does(
    world_of: Worlds,
) -> None:
    async with world_of({"pool-a": 2}) as world:
        engine = world.engine()
        engine.hold()
        engine.never_stops = True
        task = world.submit("a b")
        await engine.started(task.task_id)
        world.coordinator.cancel(task.task_id, identity="me")
        await world.frames(task)
        while engine.confirmed.count(task.task_id) < 2:
            await asyncio.sleep(0)
        other = world.submit("other")
        assert world.coordinator.status(other.task_id, identity="me").queue_position == 1
        engine.never_stops = False
        engine.release()
        assert check_grammar(await world.frames(other)) == "other"


async def test_a_worker_lost_before_the_first_token_is_not_seen_by_the_client(
    world_of: Worlds,
) -> None:
    async with world_of({"pool-a": 1, "pool-b": 1}) as world:
        world.engine("pool-a").plan(Script(fail=EngineUnreachable("gone")))
        task = world.submit("hello there")
        frames = await world.frames(task)
        assert check_grammar(frames) == "hellothere"
        assert [f.event for f in frames].count("started") == 1
        assert frames[-1].data["pool_id"] == "pool-b"
        assert ("put_back", "WORKER_RESET") in world.observer.seen


async def test_attempts_before_the_first_token_are_bounded(world_of: Worlds) -> None:
    async with world_of({"pool-a": 1}, retry_budget=3) as world:
        world.engine().plan(*[Script(fail=EngineFailed("boom"))] * 5)
        frames = await world.frames(world.submit("hello"))
        assert frames[-1].data["code"] == "REPLICA_EXHAUSTED"
        assert frames[-1].data["retriable"] is True
        assert len(world.engine().requests) == 3


async def test_a_worker_lost_in_the_middle_ends_the_task_with_worker_reset(
    world_of: Worlds,
) -> None:
    async with world_of() as world:
        world.engine().plan(Script(fail=EngineReset("cut"), fail_after_tokens=2))
        frames = await world.frames(world.submit("a b c d"))
        assert check_grammar(frames) == "ab"
        assert frames[-1].data["code"] == "WORKER_RESET"
        assert frames[-1].data["pool_id"] == "pool-a"
        assert check_grammar(await world.frames(world.submit("again"))) == "again"


async def test_on_worker_loss_restart_begins_visibly_anew(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().plan(Script(fail=EngineReset("cut"), fail_after_tokens=2))
        frames = await world.frames(world.submit("a b c d", on_worker_loss="restart"))
        assert check_grammar(frames) == "abcd"
        assert [f.data["attempt"] for f in frames if f.event == "started"] == [1, 2]
        assert frames[-1].event == "end"


async def test_on_worker_loss_resume_is_one_unbroken_stream(world_of: Worlds) -> None:
    words = [f"{letter} " for letter in "abcdefgh"]
    async with world_of({"pool-a": 1, "pool-b": 1}) as world:
        for pool_id in ("pool-a", "pool-b"):
            world.engine(pool_id).plan(
                Script(
                    pieces=words, fail=EngineReset("cut"), fail_after_tokens=2, tokens_per_read=2
                ),
                Script(pieces=words),
            )
        task = world.submit(
            "spell", on_worker_loss="resume", sampling={"temperature": 0}, max_tokens=7
        )
        frames = await world.frames(task)
        assert check_grammar(frames) == "a b c d e f g "
        assert [f.event for f in frames].count("started") == 1
        assert frames[-1].data["tokens_out"] == 7
        assert frames[-1].data["finish_reason"] == "length"
        requests = [*world.engine("pool-a").requests, *world.engine("pool-b").requests]
        assert sorted(r.text_so_far for r in requests) == ["", "a b ", "a b c d "]
        assert sorted(r.max_tokens or 0 for r in requests) == [3, 5, 7]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"sampling": {"temperature": 0.5}},
        {"sampling": {"temperature": 0, "grammar": "root ::= 'a'"}},
        {"sampling": {"temperature": 0, "repeat_penalty": 1.1}},
        {"sampling": {"temperature": 0, "logprobs": 1}},
    ],
)
async def test_resume_is_refused_where_the_stream_could_not_go_on_elsewhere(
    world_of: Worlds, fields: dict[str, Any]
) -> None:
    async with world_of() as world:
        with pytest.raises(ApiError, match="on_worker_loss resume does not go with") as refused:
            world.submit("hello", on_worker_loss="resume", **fields)
        assert refused.value.status == 400


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (EngineRefused("the prompt is too long"), "INVALID_PARAMS"),
        (EngineTimeout("silence"), "DECODE_TIMEOUT"),
    ],
)
async def test_what_another_try_cannot_mend_is_told_at_once(
    world_of: Worlds, fault: EngineRefused | EngineTimeout, code: str
) -> None:
    async with world_of() as world:
        world.engine().plan(Script(fail=fault))
        frames = await world.frames(world.submit("hello"))
        assert frames[-1].data["code"] == code
        assert len(world.engine().requests) == 1


async def test_a_bug_in_an_attempt_ends_that_task_alone(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().plan(Script(fail=ZeroDivisionError()))  # type: ignore[arg-type]
        task = world.submit("hello")
        frames = await world.frames(task)
        assert frames[-1].data["code"] == "INTERNAL"
        assert isinstance(task.crash, ZeroDivisionError)
        assert check_grammar(await world.frames(world.submit("fine"))) == "fine"


async def test_a_full_node_puts_the_task_back_at_the_front(world_of: Worlds) -> None:
    async with world_of() as world:
        key = ReplicaKey("home", "pool-a", "r0")
        world.replicas.full.add(key)
        first, second = world.submit("first"), world.submit("second")
        while ("put_back", "REPLICA_BUSY") not in world.observer.seen:
            await asyncio.sleep(0)
        world.replicas.full.clear()
        world.report(world.snapshot("pool-a", slots=1, generation=2))
        await world.frames(second)
        assert [r.task_id for r in world.engine().requests] == [first.task_id, second.task_id]


async def test_a_full_queue_refuses_with_a_time_to_come_back(world_of: Worlds) -> None:
    async with world_of(capacity=2, full_policy=FullPolicy.REJECT) as world:
        world.engine().hold()
        for n in range(3):
            world.submit(f"t{n}")
        with pytest.raises(ApiError) as refused:
            world.submit("one too many")
        assert refused.value.code is ErrorCode.ADMISSION_REJECT
        assert refused.value.status == 429
        assert refused.value.policy_label == "reject"
        assert refused.value.retriable
        assert refused.value.retry_after_ms


async def test_drop_lru_drops_the_oldest_and_its_stream_says_so(world_of: Worlds) -> None:
    async with world_of(capacity=2) as world:
        world.engine().hold()
        world.submit("running")
        oldest, kept, newest = (world.submit(t) for t in ("oldest", "kept", "newest"))
        frames = await world.frames(oldest)
        assert frames[-1].data["code"] == "QUEUE_FULL_DROP_LRU"
        assert frames[-1].data["retry_after_ms"] > 0
        world.engine().release()
        for task in (kept, newest):
            assert (await world.frames(task))[-1].event == "end"


async def test_a_deadline_that_passes_in_the_queue_ends_the_task(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().hold()
        world.submit("running")
        task = world.submit("late", deadline_ms=500)
        world.clock.ms += 501
        frames = await world.frames(task)
        assert frames[-1].data["code"] == "DEADLINE_UNMET"
        assert frames[-1].data["retriable"] is False


async def test_a_deadline_that_passes_while_running_keeps_the_tokens(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().hold()
        task = world.submit("a b c", deadline_ms=100)
        world.engine().release(1)
        frames = await world.frames(task)
        assert check_grammar(frames) == "a"
        assert frames[-1].data["code"] == "DEADLINE_UNMET"
        assert world.coordinator.status(task.task_id, identity="me").text == "a"


async def test_a_deadline_out_of_reach_is_refused_only_with_measurements(
    world_of: Worlds,
) -> None:
    async with world_of() as world:
        engine = world.engine()
        engine.hold()
        slow = world.submit("slow", deadline_ms=10_000_000)
        await engine.started(slow.task_id)
        world.clock.ms += 10_000
        engine.release()
        await world.frames(slow)
        with pytest.raises(ApiError) as refused:
            world.submit("hopeless", deadline_ms=100)
        assert refused.value.status == 422


async def test_a_deadline_is_measured_against_those_that_go_first_only(world_of: Worlds) -> None:
    async with world_of() as world:
        engine = world.engine()
        engine.hold()
        measured = world.submit("takes a second")
        await engine.started(measured.task_id)
        world.clock.ms += 1_000
        engine.release()
        await world.frames(measured)
        engine.hold()
        for _ in range(6):
            world.submit("patient", priority="batch")
        assert world.submit("urgent", deadline_ms=3_000).state is TaskState.QUEUED
        with pytest.raises(ApiError) as refused:
            world.submit("last of all", priority="batch", deadline_ms=3_000)
        assert refused.value.code is ErrorCode.DEADLINE_UNMET


async def test_nothing_waits_longer_than_the_limit(world_of: Worlds) -> None:
    async with world_of(queue_max_wait_ms=1_000) as world:
        world.engine().hold()
        world.submit("running")
        task = world.submit("waiting")
        world.clock.ms += 1_001
        frames = await world.frames(task)
        assert frames[-1].data["code"] == "POOL_UNAVAILABLE"


async def test_tasks_wait_for_a_pool_that_is_loading_and_say_so(world_of: Worlds) -> None:
    async with world_of() as world:
        world.report(world.snapshot("pool-a", slots=1, state=HealthState.LOADING))
        task = world.submit("hello")
        status = world.coordinator.status(task.task_id, identity="me")
        assert status.state is TaskState.PREPARING
        for state, found in ((TaskState.PREPARING, 1), (TaskState.QUEUED, 0), (None, 1)):
            page = world.coordinator.list_tasks(identity="me", state=state, limit=9, cursor=None)
            assert len(page.tasks) == found
        world.report(world.snapshot("pool-a", slots=1, generation=2))
        assert check_grammar(await world.frames(task)) == "hello"


async def test_tasks_of_a_model_that_no_pool_serves_any_more_end(world_of: Worlds) -> None:
    async with world_of() as world:
        world.report(world.snapshot("pool-a", slots=1, state=HealthState.LOADING))
        task = world.submit("hello")
        world.report(world.snapshot("pool-a", slots=1, model_id="another"))
        frames = await world.frames(task)
        assert frames[-1].data["code"] == "MODEL_NOT_AVAILABLE"


async def test_a_known_model_on_no_pool_and_an_unknown_one_are_refused(world_of: Worlds) -> None:
    async with world_of() as world:
        for model_ref, code in (("absent", "MODEL_NOT_AVAILABLE"), ("nope", "MODEL_NOT_FOUND")):
            with pytest.raises(ApiError) as refused:
                world.submit(model_ref=model_ref)
            assert refused.value.code == code


async def test_the_same_id_and_body_answer_as_before_and_another_body_conflicts(
    world_of: Worlds,
) -> None:
    async with world_of() as world:
        task_id = str(uuid4())
        first = world.submit("same", task_id=task_id)
        assert world.submit("same", task_id=task_id) is first
        for identity, prompt in (("me", "different"), ("somebody else", "same")):
            with pytest.raises(ApiError) as refused:
                world.submit(prompt, task_id=task_id, identity=identity)
            assert refused.value.code is ErrorCode.TASK_CONFLICT
        await world.frames(first)
        assert len(world.engine().requests) == 1


async def test_a_task_is_not_found_by_others(world_of: Worlds) -> None:
    async with world_of() as world:
        task = world.submit("mine")
        with pytest.raises(ApiError) as refused:
            world.coordinator.status(task.task_id, identity="somebody else")
        assert refused.value.code is ErrorCode.TASK_NOT_FOUND
        assert world.coordinator.status(task.task_id, identity="admin").state is task.state


async def test_a_stream_resumes_behind_the_last_event_id(world_of: Worlds) -> None:
    async with world_of() as world:
        task = world.submit("a b c d")
        whole = await world.frames(task)
        for cut in range(len(whole) - 1):
            rest = await world.frames(task, last_event_id=whole[cut].id)
            assert rest == whole[cut + 1 :]
        last = whole[-1].id
        stream = world.coordinator.open_stream(task.task_id, identity="me", last_event_id=last)
        assert stream is None


async def test_evicted_events_are_gone_and_said_to_be(world_of: Worlds) -> None:
    async with world_of(event_log_max_bytes=2_000) as world:
        task = world.submit(" ".join("abcdefgh" for _ in range(100)))
        cursor = world.coordinator.open_stream(task.task_id, identity="me", last_event_id=0)
        assert cursor is not None
        while not task.ended:
            await asyncio.sleep(0)
        assert await cursor.read(timeout_s=1) == b""
        assert cursor.ended
        assert cursor.fell_off
        cursor.close()
        with pytest.raises(ApiError) as refused:
            world.coordinator.open_stream(task.task_id, identity="me")
        assert refused.value.code is ErrorCode.EVENTS_EXPIRED
        assert world.coordinator.status(task.task_id, identity="me").text


async def test_a_reader_that_leaves_cancels_only_where_asked_to(world_of: Worlds) -> None:
    async with world_of(disconnect_grace_ms=1) as world:
        world.engine().hold()
        keeps = world.submit("keeps running")
        cancels = world.submit("is canceled", on_disconnect="cancel")
        for task in (keeps, cancels):
            cursor = world.coordinator.open_stream(task.task_id, identity="me")
            assert cursor is not None
            cursor.close()
        while not cancels.ended:
            await asyncio.sleep(0)
        assert (await world.frames(cancels))[-1].data["code"] == "CANCELED"
        world.engine().release()
        assert (await world.frames(keeps))[-1].event == "end"


async def test_a_reader_that_comes_back_in_time_keeps_its_task(world_of: Worlds) -> None:
    async with world_of(disconnect_grace_ms=20) as world:
        world.engine().hold()
        task, left_alone = (world.submit("hello", on_disconnect="cancel") for _ in range(2))
        for each in (task, left_alone):
            cursor = world.coordinator.open_stream(each.task_id, identity="me")
            assert cursor is not None
            cursor.close()
        reading = asyncio.ensure_future(world.frames(task))
        while not left_alone.ended:  # Its grace began after that of the other.
            await asyncio.sleep(0)
        world.engine().release()
        assert (await reading)[-1].event == "end"


async def test_the_grace_counts_from_when_the_last_reader_left(world_of: Worlds) -> None:
    async with world_of(disconnect_grace_ms=300) as world:
        world.engine().hold()
        task = world.submit("hello", on_disconnect="cancel")
        loop = asyncio.get_running_loop()

        def look_in() -> float:
            cursor = world.coordinator.open_stream(task.task_id, identity="me")
            assert cursor is not None
            cursor.close()
            return loop.time()

        look_in()
        left_s: asyncio.Future[float] = loop.create_future()
        loop.call_later(0.05, lambda: left_s.set_result(look_in()))
        while not task.ended:
            await asyncio.sleep(0)
        assert loop.time() - await left_s >= 0.3


async def test_the_one_request_form_cancels_at_once(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().hold()
        task = world.submit("hello", on_disconnect="cancel")
        cursor = world.coordinator.open_stream(task.task_id, identity="me", one_request=True)
        assert cursor is not None
        cursor.close()
        assert world.coordinator.status(task.task_id, identity="me").state is TaskState.STOPPING


async def test_sessions_count_turns_and_start_cold_past_the_limit(world_of: Worlds) -> None:
    async with world_of() as world:
        for _ in range(9):
            await world.frames(world.submit("hello", session_id="s1"))
        assert [r.cache_prompt for r in world.engine().requests] == [False, *[True] * 7, False]
        view = world.coordinator.session("s1", identity="me")
        assert view.turns == 1
        world.coordinator.delete_session("s1", identity="me")
        with pytest.raises(ApiError) as refused:
            world.coordinator.session("s1", identity="me")
        assert refused.value.code is ErrorCode.SESSION_NOT_FOUND


async def test_a_refused_turn_leaves_the_session_as_it_was(world_of: Worlds) -> None:
    settings: dict[str, Any] = {"capacity": 1, "full_policy": FullPolicy.REJECT}
    async with world_of(**settings, sessions=SessionLimits(max_turns=1)) as world:
        await world.frames(world.submit("a b c", session_id="known"))
        world.engine().hold()
        world.submit("running")
        world.submit("waiting")
        for session_id in ("known", "new"):
            with pytest.raises(ApiError) as refused:
                world.submit("one too many", session_id=session_id)
            assert refused.value.code is ErrorCode.ADMISSION_REJECT
        view = world.coordinator.session("known", identity="me")
        assert (view.turns, view.tokens_out) == (1, 3)
        with pytest.raises(ApiError) as unknown:
            world.coordinator.session("new", identity="me")
        assert unknown.value.code is ErrorCode.SESSION_NOT_FOUND


async def test_an_ambiguous_pool_is_refused_wherever_it_is_named(world_of: Worlds) -> None:
    async with world_of() as world:
        world.cluster.apply_report("other", world.pools.values())
        for wish in (
            {"mode": "pin", "pin_pool_id": "pool-a"},
            {"mode": "prefer", "prefer_pools": ["pool-a"]},
            {"avoid_pools": ["pool-a"]},
        ):
            with pytest.raises(ApiError) as refused:
                world.submit(placement=wish)
            assert refused.value.code is ErrorCode.AMBIGUOUS_POOL
            assert refused.value.candidates == ("home:pool-a", "other:pool-a")


async def test_a_session_budget_is_held_settled_and_then_refuses(world_of: Worlds) -> None:
    async with world_of(sessions=SessionLimits(token_budget=10)) as world:
        world.engine().hold()
        first = world.submit("a b c", session_id="s1", max_tokens=8)
        with pytest.raises(ApiError) as refused:
            world.submit("while the first holds 8 of 10", session_id="s1", max_tokens=8)
        assert refused.value.code is ErrorCode.BUDGET_EXCEEDED
        assert refused.value.status == 429
        world.engine().release()
        await world.frames(first)
        view = world.coordinator.session("s1", identity="me")
        assert view.budgets.tokens_remaining == 4
        assert view.turns == 1


async def test_a_drain_deadline_sends_tasks_without_tokens_back_and_ends_the_others(
    world_of: Worlds,
) -> None:
    async with world_of({"pool-a": 2, "pool-b": 2}) as world:
        for pool_id in ("pool-a", "pool-b"):
            world.engine(pool_id).hold()
        world.report(world.snapshot("pool-b", slots=2, draining=True))
        begun, silent = world.submit("a b c"), world.submit("x y z")
        await world.engine("pool-a").started(silent.task_id)
        world.engine("pool-a").release(1)
        while begun.first_token_at_ms is None:
            await asyncio.sleep(0)
        world.report(
            world.snapshot("pool-a", slots=2, draining=True),
            world.snapshot("pool-b", slots=2, generation=2),
        )
        world.replicas.revoke("pool-a")
        world.engine("pool-b").release()
        frames = await world.frames(begun)
        assert frames[-1].data["code"] == "POOL_UNAVAILABLE"
        assert frames[-1].data["retriable"] is True
        assert check_grammar(await world.frames(silent)) == "xyz"


async def test_shutting_down_ends_what_waits_and_lets_what_runs_finish(world_of: Worlds) -> None:
    async with world_of() as world:
        world.engine().hold()
        running, waiting = world.submit("a b"), world.submit("waiting")
        await world.engine().started(running.task_id)
        closing = asyncio.ensure_future(world.coordinator.shut_down(grace_ms=5_000))
        assert (await world.frames(waiting))[-1].data["code"] == "SHUTTING_DOWN"
        with pytest.raises(ApiError) as refused:
            world.submit("too late")
        assert refused.value.status == 503
        world.engine().release()
        assert (await world.frames(running))[-1].event == "end"
        await closing
