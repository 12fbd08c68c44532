"""A task that is given up gives its slot back at once, wherever it stands."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from demo_model import ENDLESS, SLOW

from .calls import Api, Frame, check_grammar, engine_busy, eventually, text_of
from .daemons import Daemon, Place, Pool

FREE_WITHIN_S = 1.0
LONG_PROMPT = "0123456789" * 380
"""A byte is a token: some seconds of prompt for the slow model."""


@pytest.fixture(scope="module")
def daemon(shared_place: Callable[..., Place], models: Path) -> Daemon:
    return shared_place(
        Pool.of(models, SLOW, ctx=8192), Pool.of(models, ENDLESS, slots=2, ctx=4096)
    ).start()


@pytest.fixture
def api(daemon: Daemon, connect: Callable[[Daemon], Api]) -> Api:
    return connect(daemon)


async def in_prompt(daemon: Daemon) -> None:
    """Wait until the slow engine works on a prompt."""
    await engine_busy(daemon.engine("slow"), 1)


async def free_in_time(daemon: Daemon, since_s: float, pool_id: str = "slow") -> None:
    await engine_busy(daemon.engine(pool_id), 0)
    assert time.monotonic() - since_s < FREE_WITHIN_S


def check_canceled(frames: list[Frame]) -> None:
    check_grammar(frames)
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "CANCELED")
    assert frames[-1].data["retriable"] is False


async def test_cancel_in_the_queue_ends_at_once_and_reaches_no_engine(
    api: Api, daemon: Daemon
) -> None:
    async with api.open(model_ref="slow", prompt="1", max_tokens=2000) as running:
        await running.until("token")
        async with api.open(model_ref="slow", prompt="2", max_tokens=5) as waiting:
            (started,) = await waiting.until("started")
            assert started.data["queue_position"] == 1
            await api.cancel(waiting.task_id)
            frames = [started, *await waiting.rest()]
        check_canceled(frames)
        assert text_of(frames) == ""
        assert await api.state(waiting.task_id) == "canceled"
        await api.cancel(running.task_id)
        since_s = time.monotonic()
        check_canceled([started, *await running.rest()])
    await free_in_time(daemon, since_s)


async def test_cancel_in_the_prompt_frees_the_slot(api: Api, daemon: Daemon) -> None:
    async with api.open(model_ref="slow", prompt=LONG_PROMPT, max_tokens=5) as stream:
        (started,) = await stream.until("started")
        await in_prompt(daemon)
        await api.cancel(stream.task_id)
        since_s = time.monotonic()
        rest = await stream.rest()
    check_canceled([started, *rest])
    assert text_of(rest) == "", "the prompt was over before the cancel"
    await free_in_time(daemon, since_s)


async def test_cancel_in_decode_frees_the_slot_and_no_token_follows(
    api: Api, daemon: Daemon
) -> None:
    async with api.open(model_ref="slow", prompt="1", max_tokens=4000) as stream:
        before = await stream.until("token", count=5)
        await api.cancel(stream.task_id)
        since_s = time.monotonic()
        # Whoever opens the stream after the 204 sees what was told before it, and no more.
        again = await api.read(stream.task_id)
        await free_in_time(daemon, since_s)
        check_canceled([*before, *await stream.rest()])
    check_canceled(again)
    assert await api.read(stream.task_id) == again
    task = await api.get(f"/v2/tasks/{stream.task_id}")
    assert task["state"] == "canceled"
    assert task["text"] == text_of(again)


async def test_cancel_of_what_has_ended_changes_nothing(api: Api) -> None:
    frames = await api.run(model_ref="endless", prompt="1", max_tokens=3)
    task_id = frames[0].data["task_id"]
    await api.cancel(task_id)
    await api.cancel(task_id)
    assert await api.state(task_id) == "finished"
    assert await api.read(task_id) == frames


async def test_many_cancels_lose_no_slot(api: Api, daemon: Daemon) -> None:
    async def start_and_cancel(tokens: int) -> None:
        async with api.open(model_ref="endless", prompt="1", max_tokens=4000) as stream:
            await stream.until("token", count=tokens)
            await api.cancel(stream.task_id)
            frames = await stream.rest()
            assert frames[-1].event in {"error", "end"}

    await asyncio.gather(*(start_and_cancel(1 + index % 7) for index in range(40)))
    await engine_busy(daemon.engine("endless"), 0)

    async def all_free() -> bool:
        pool = await api.get("/v2/pools/endless/health")
        return bool(pool["metrics"]["slots_free"] == 2)

    await eventually(all_free, "both slots free again")
    frames = await asyncio.gather(
        *(
            api.run(model_ref="endless", prompt="1", max_tokens=9, sampling={"temperature": 0})
            for _ in range(4)
        )
    )
    assert {text_of(told) for told in frames} == {ENDLESS.expected_text(9)}


@pytest.mark.parametrize("phase", ["queue", "prompt", "decode"])
async def test_a_reader_that_leaves_cancels_its_task_where_it_said_so(
    api: Api, daemon: Daemon, phase: str
) -> None:
    task = {"model_ref": "slow", "max_tokens": 4000, "on_disconnect": "cancel"}
    if phase == "queue":
        async with api.open(model_ref="slow", prompt="1", max_tokens=4000) as running:
            await running.until("token")
            async with api.open(prompt="1", **task) as stream:
                await stream.until("started")
                stream.response.close()
            await _ends_canceled(api, stream.task_id)
            await api.cancel(running.task_id)
        await engine_busy(daemon.engine("slow"), 0)
        return
    prompt = LONG_PROMPT if phase == "prompt" else "1"
    async with api.open(prompt=prompt, **task) as stream:
        if phase == "prompt":
            await stream.until("started")
            await in_prompt(daemon)
        else:
            await stream.until("token", count=2)
        stream.response.close()
        since_s = time.monotonic()
    await free_in_time(daemon, since_s)
    told = await _ends_canceled(api, stream.task_id)
    if phase == "prompt":
        assert not told["text"]


async def test_a_reader_that_leaves_does_not_end_a_task_that_goes_on(api: Api) -> None:
    async with api.open(
        model_ref="endless", prompt="1", max_tokens=300, sampling={"temperature": 0}
    ) as stream:
        await stream.until("token")
        stream.response.close()
    assert text_of(await api.read(stream.task_id)) == ENDLESS.expected_text(300)


async def test_a_deadline_cuts_a_task_that_runs_and_keeps_its_tokens(
    api: Api, daemon: Daemon
) -> None:
    frames = await api.run(
        model_ref="slow", prompt="1", max_tokens=4000, deadline_ms=700, expected_tokens=1
    )
    since_s = time.monotonic()
    check_grammar(frames)
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "DEADLINE_UNMET")
    assert frames[-1].data["retriable"] is False
    assert text_of(frames), "no token in 700 ms"
    await free_in_time(daemon, since_s)


async def test_a_deadline_that_passes_in_the_queue_ends_the_task_there(
    api: Api, daemon: Daemon
) -> None:
    async with api.open(model_ref="slow", prompt="1", max_tokens=4000) as running:
        await running.until("token")
        answer = await api.call(
            "POST", "/v2/tasks", json={"model_ref": "slow", "prompt": "1", "deadline_ms": 300}
        )
        if answer.status == 202:
            frames = await api.read(answer.json()["task_id"])
            check_grammar(frames)
            assert frames[-1].data["code"] == "DEADLINE_UNMET"
            assert text_of(frames) == ""
        else:  # what was measured so far says that even an optimist would not wait
            assert (answer.status, answer.json()["code"]) == (422, "DEADLINE_UNMET")
        await api.cancel(running.task_id)
    await engine_busy(daemon.engine("slow"), 0)


async def _ends_canceled(api: Api, task_id: str) -> dict[str, object]:
    async def ended() -> dict[str, object] | None:
        task: dict[str, object] = await api.get(f"/v2/tasks/{task_id}")
        return task if task["state"] == "canceled" else None

    return await eventually(ended, "the task canceled", within_s=5)
