"""An attempt that a connection drives and one that has a task: nobody can tell them apart."""

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_api import (
    EngineFailed,
    EngineOverloaded,
    EngineRefused,
    EngineReset,
    EngineTimeout,
    NotBegun,
)
from admission_coordinator import Task
from admission_coordinator.limits import WallLimit
from admission_coordinator.testing import check_grammar
from api_types import ApiError
from mock_adapter import Script

from .conftest import world

FAULTS = (
    EngineFailed("500"),
    EngineRefused("400"),
    EngineReset("cut"),
    EngineTimeout("silence"),
    EngineOverloaded("429"),
    ZeroDivisionError("a bug"),
)
courses = st.builds(
    Script,
    tokens_per_read=st.integers(1, 3),
    fail=st.sampled_from((None, None, *FAULTS)),
    fail_after_tokens=st.integers(0, 4),
)


@dataclass(frozen=True)
class Play:
    """What happens to one task, in terms that do not depend on the way of its attempts."""

    courses: tuple[Script, ...]
    tokens_first: int
    action: str
    on_worker_loss: str
    stops: str


plays = st.builds(
    Play,
    courses=st.lists(courses, max_size=3).map(tuple),
    tokens_first=st.integers(0, 5),
    action=st.sampled_from(["nothing", "cancel", "revoke", "leave", "deadline", "shut down"]),
    on_worker_loss=st.sampled_from(["fail", "restart", "resume"]),
    stops=st.sampled_from(["at once", "at once", "at once", "slowly", "slowly", "never"]),
)


@settings(max_examples=80, deadline=None)
@given(play=plays)
def test_both_ways_write_the_same_log_and_give_the_same_back(play: Play) -> None:
    assert asyncio.run(_seen(play, begins=True)) == asyncio.run(_seen(play, begins=False))


async def _seen(play: Play, *, begins: bool) -> dict[str, Any]:
    limits = {"retry_budget": 2, "stop_timeout_ms": 60_000, "position_interval_ms": 60_000}
    async with world({"pool-a": 1}, begins=begins, **limits) as seen:
        engine = seen.engine()
        engine.plan(*play.courses)
        engine.hold()
        engine.stops_slowly = play.stops == "slowly"
        engine.never_stops = play.stops == "never"
        task = seen.submit(
            "one two three four five",
            on_worker_loss=play.on_worker_loss,
            sampling={"temperature": 0},
            on_disconnect="cancel" if play.action == "leave" else "continue",
            **({"deadline_ms": 60_000} if play.action == "deadline" else {}),
        )
        reader = seen.coordinator.open_stream(task.task_id, identity="me")
        assert reader is not None
        engine.release(play.tokens_first)
        await _quiet()
        closing: asyncio.Future[None] | None = None
        match play.action:
            case "cancel":
                seen.coordinator.cancel(task.task_id, identity="me")
            case "revoke":
                seen.replicas.revoke("pool-a")
            case "leave":
                reader.close()
            case "shut down":
                closing = asyncio.ensure_future(seen.coordinator.shut_down(grace_ms=0))
        await _quiet()
        engine.never_stops = False
        engine.let_stop()
        engine.release()
        frames = await seen.frames(task)
        check_grammar(frames)
        reader.close()
        if closing is not None:
            await closing
        key = seen.replicas.outcomes[0][0]
        async with asyncio.timeout(20):
            # Who shuts down asks no more whether a slot that was held back is free now.
            while engine.running or not (closing or seen.cluster.slots_free(key)):
                await asyncio.sleep(0)
        return {
            "frames": [(frame.id, frame.event, _lasting(frame.data)) for frame in frames],
            "state": task.state,
            "observed": [what for what, _ in seen.observer.seen],
            "outcomes": seen.replicas.outcomes,
            "requests": [request.attempt for request in engine.requests],
            "cancelled": len(engine.cancelled),
        }


def _lasting(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "task_id"}


async def _quiet() -> None:
    """Let everything happen that can happen now."""
    for _ in range(60):
        await asyncio.sleep(0)


async def test_a_run_that_was_not_begun_goes_on_with_another_connection() -> None:
    async with world(begins=True) as seen:
        engine = seen.engine()
        engine.plan(Script(fail=NotBegun("the kept connection was dead")))
        task = seen.submit("one two")
        assert check_grammar(await seen.frames(task)) == "onetwo"
        assert [outcome for _, outcome in seen.replicas.outcomes] == ["success"]
        assert seen.observer.lost == []


async def test_only_an_attempt_whose_run_cannot_be_begun_has_a_task() -> None:
    async with world({"pool-a": 2}, begins=True) as seen:
        seen.engine().hold()
        begun = seen.submit("one two")
        seen.engine().begins = False
        awaited = seen.submit("three")
        names = {each.get_name() for each in asyncio.all_tasks()}
        assert begun.task_id not in names
        assert awaited.task_id in names
        seen.engine().release()
        for task in (begun, awaited):
            await seen.frames(task)


async def test_an_adapter_that_fails_to_begin_is_asked_again_in_a_task() -> None:
    async with world(begins=True) as seen:
        engine = seen.engine()
        engine.begin = _broken
        task = seen.submit("one two")
        assert check_grammar(await seen.frames(task)) == "onetwo"


async def test_what_runs_too_long_is_stopped() -> None:
    async with world({"pool-a": 2}, begins=True, decode_wall_timeout_ms=40) as seen:
        seen.engine().hold()
        for task in (seen.submit("one"), seen.submit("two")):
            assert (await seen.frames(task))[-1].data["code"] == "DECODE_TIMEOUT"
        seen.engine().release()


async def test_one_timer_stops_those_that_are_due_and_lets_the_others_be() -> None:
    async with world({"pool-a": 4}, begins=True) as seen:
        seen.engine().hold()
        first, over, second, young = (seen.submit(f"task {n}") for n in range(4))
        stopped: list[Task] = []
        both = asyncio.Event()

        def stop(task: Task, _: ApiError) -> None:
            stopped.append(task)
            if len(stopped) == 2:
                both.set()

        limit, now_s = WallLimit(60_000, stop=stop), perf_counter()
        for task, age_s in ((first, 61), (over, 61), (second, 60), (young, 0)):
            limit.watch(task, now_s - age_s)
        limit.forget(over)
        await both.wait()
        assert stopped == [first, second]
        limit.close()
        seen.engine().release()


def _broken(*_: object) -> None:
    raise ZeroDivisionError("begin has a bug")
