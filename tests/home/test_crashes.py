"""Engines and daemons that die in the middle of their work, and what clients see of it."""

import asyncio
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from demo_model import ENDLESS, SLOW

from .calls import Api, check_grammar, engine_busy, eventually, text_of
from .daemons import Daemon, Engine, Place, Pool, until

LONG_PROMPT = "0123456789" * 380
GREEDY = {"temperature": 0}
BACK_WITHIN_S = 15.0


def another_engine(daemon: Daemon, old: Engine) -> Engine:
    """Wait until the pool of an engine that died has a new one."""

    def look() -> Engine | None:
        return next(
            (new for new in daemon.engines(old.pool_id) if new.pid != old.pid and new.slots()),
            None,
        )

    return until(look, "a new engine", within_s=BACK_WITHIN_S)


async def test_an_engine_killed_while_it_streams_is_told_and_comes_back(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, slots=2, ctx=4096)).start()
    api = connect(daemon)
    engine = daemon.engine()
    async with api.open(prompt="1", max_tokens=4000, sampling=GREEDY) as stream:
        frames = await stream.until("token", count=3)
        engine.kill()
        frames += await stream.rest()
    check_grammar(frames)
    error = frames[-1]
    assert (error.event, error.data["code"]) == ("error", "WORKER_RESET")
    assert error.data["retriable"] is True
    assert error.data["pool_id"] == "slow"
    assert SLOW.expected_text(4000).startswith(text_of(frames))
    # A task that comes now waits for the new engine.
    again = await api.run(prompt="1", max_tokens=5, sampling=GREEDY)
    check_grammar(again)
    assert text_of(again) == SLOW.expected_text(5)
    assert another_engine(daemon, engine).pid != engine.pid
    assert engine.pid not in daemon.place.processes()
    (pool,) = (await api.get("/v2/pools"))["pools"]
    assert pool["replicas"][0]["restarts"] == 1
    metrics = (await api.call("GET", "/metrics")).body.decode()
    assert re.search(r'pool_engine_restarts_total{.*pool_id="slow".*} 1.0', metrics)


async def test_a_task_that_asked_for_it_begins_anew_when_its_engine_dies(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, ctx=4096)).start()
    api = connect(daemon)
    async with api.open(
        prompt="1", max_tokens=20, sampling=GREEDY, on_worker_loss="restart"
    ) as stream:
        frames = await stream.until("token", count=3)
        daemon.engine().kill()
        frames += await stream.rest()
    starts = [index for index, frame in enumerate(frames) if frame.event == "started"]
    assert [frames[index].data["attempt"] for index in starts] == [1, 2]
    check_grammar(frames[starts[1] :])
    assert text_of(frames[starts[1] :]) == SLOW.expected_text(20)
    assert frames[-1].event == "end"


async def test_a_task_without_a_token_survives_its_engine_on_the_restarted_one(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, ctx=8192)).start()
    api = connect(daemon)
    engine = daemon.engine()
    async with api.open(prompt=LONG_PROMPT, max_tokens=5, sampling=GREEDY) as stream:
        frames = await stream.until("started")
        await engine_busy(engine, 1)
        engine.kill()
        frames += await stream.rest()
    check_grammar(frames)
    assert frames[-1].event == "end", frames[-1]
    assert text_of(frames) == SLOW.expected_text(5)
    assert frames[-1].data["tokens_in"] >= len(LONG_PROMPT)
    assert another_engine(daemon, engine).pid != engine.pid


async def test_a_task_without_a_token_moves_to_the_replica_that_lives(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, ctx=8192, replicas=2)).start()
    api = connect(daemon)
    engines = daemon.engines()
    assert len(engines) == 2
    async with api.open(prompt=LONG_PROMPT, max_tokens=5, sampling=GREEDY) as stream:
        frames = await stream.until("started")

        async def who_works() -> Engine | None:
            busy = [engine for engine in engines if await asyncio.to_thread(engine.busy)]
            return busy[0] if busy else None

        victim = await eventually(who_works, "an engine at work")
        before = await api.get(f"/v2/tasks/{stream.task_id}")
        victim.kill()
        frames += await stream.rest()
    check_grammar(frames)
    assert text_of(frames) == SLOW.expected_text(5)
    after = await api.get(f"/v2/tasks/{stream.task_id}")
    assert before["placement"]["replica_id"] != after["placement"]["replica_id"]


async def test_a_task_that_asked_for_it_goes_on_elsewhere_as_if_nothing_had_happened(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, ctx=4096, replicas=2)).start()
    api = connect(daemon)
    async with api.open(
        prompt="1", max_tokens=60, sampling=GREEDY, on_worker_loss="resume"
    ) as stream:
        frames = await stream.until("token", count=5)
        busy = [engine for engine in daemon.engines() if engine.busy()]
        assert len(busy) == 1
        busy[0].kill()
        frames += await stream.rest()
    check_grammar(frames)
    assert text_of(frames) == SLOW.expected_text(60)
    assert frames[-1].data["tokens_out"] == 60
    assert frames[-1].data["finish_reason"] == "length"


async def test_a_frozen_engine_holds_back_nobody_but_itself(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(
        Pool.of(models, SLOW, ctx=4096),
        Pool.of(models, ENDLESS, ctx=4096),
        decode_idle_timeout_ms=500,
    ).start()
    api = connect(daemon)
    frozen = daemon.engine("slow")
    async with api.open(model_ref="slow", prompt="1", max_tokens=4000) as stream:
        frames = await stream.until("token")
        frozen.freeze()
        told = await api.run(model_ref="endless", prompt="1", max_tokens=50, sampling=GREEDY)
        assert text_of(told) == ENDLESS.expected_text(50)
        frames += await stream.rest()
    check_grammar(frames)
    assert frames[-1].data["code"] == "DECODE_TIMEOUT"
    frozen.kill()
    told = await api.run(model_ref="slow", prompt="1", max_tokens=3, sampling=GREEDY)
    assert text_of(told) == SLOW.expected_text(3)


async def test_a_daemon_after_a_crash_adopts_the_living_engine_and_serves(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    home = place(Pool.of(models, ENDLESS, slots=2, ctx=4096))
    first = home.start()
    engine = first.engine()
    api = connect(first)
    lost = await api.submit(prompt="1", max_tokens=4000)
    first.kill()
    assert engine.slots(), "the engine went with the daemon"
    second = home.start()
    assert second.engine() == engine, "the engine was started again"
    assert [pid for pid in home.processes() if pid != second.pid] == [engine.pid]
    api = connect(second)
    told = await api.run(prompt="1", max_tokens=50, sampling=GREEDY)
    assert text_of(told) == ENDLESS.expected_text(50)
    gone = await api.call("GET", f"/v2/tasks/{lost['task_id']}")
    assert (gone.status, gone.json()["code"]) == (404, "TASK_NOT_FOUND")
    assert "earlier" in (gone.json()["hint"] or "")
    # What the dead daemon had begun is over, and an adopted engine is still ours to stop.
    await engine_busy(engine, 0)
    assert second.stop() == 0
    assert home.processes() == []


async def test_an_adopted_engine_that_dies_is_replaced(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    home = place(Pool.of(models, ENDLESS, ctx=4096))
    first = home.start()
    engine = first.engine()
    first.kill()
    second = home.start()
    assert second.engine().pid == engine.pid
    engine.kill()
    api = connect(second)
    told = await api.run(prompt="1", max_tokens=5, sampling=GREEDY)
    if told[-1].event == "error":  # it was sent before anybody had seen the death
        assert told[-1].data["retriable"], told[-1]
    else:
        assert text_of(told) == ENDLESS.expected_text(5)
    assert another_engine(second, engine).pid != engine.pid


async def test_a_second_daemon_does_not_touch_the_engines_of_the_first(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    home = place(Pool.of(models, ENDLESS, ctx=4096))
    first = home.start()
    intruder = home.start(ready=False)
    assert intruder.process.wait(20) == 1
    assert str(first.pid) in intruder.output
    told = await connect(first).run(prompt="1", max_tokens=5, sampling=GREEDY)
    assert text_of(told) == ENDLESS.expected_text(5)


async def test_sigterm_lets_a_running_task_finish_and_ends_a_waiting_one(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    home = place(Pool.of(models, SLOW, ctx=4096))
    daemon = home.start()
    api = connect(daemon)
    async with (
        api.open(prompt="1", max_tokens=60, sampling=GREEDY) as running,
        api.open(prompt="1", max_tokens=60, sampling=GREEDY) as waiting,
    ):
        frames = await running.until("token")
        await waiting.until("started")
        daemon.process.terminate()
        ended = await waiting.rest()
        assert (ended[-1].event, ended[-1].data["code"]) == ("error", "SHUTTING_DOWN")
        assert ended[-1].data["retriable"] is True
        frames += await running.rest()
    check_grammar(frames)
    assert frames[-1].event == "end"
    assert text_of(frames) == SLOW.expected_text(60)
    assert await asyncio.to_thread(daemon.process.wait, 20) == 0
    assert home.processes() == []


async def test_a_second_signal_does_not_wait_for_the_grace(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    home = place(Pool.of(models, SLOW, ctx=8192), shutdown_grace_ms=600_000)
    daemon = home.start()
    api = connect(daemon)
    async with api.open(prompt="1", max_tokens=8000, sampling=GREEDY) as stream:
        frames = await stream.until("token")
        daemon.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(until, lambda: '"stopping"' in daemon.output, "the first signal")
        assert text_of(await stream.until("token"))
        daemon.process.send_signal(signal.SIGINT)
        frames += await stream.rest()
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "SHUTTING_DOWN")
    assert await asyncio.to_thread(daemon.process.wait, 20) == 0
    assert home.processes() == []


async def test_sigterm_cuts_what_does_not_finish_within_the_grace(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    home = place(Pool.of(models, SLOW, ctx=8192), shutdown_grace_ms=300)
    daemon = home.start()
    api = connect(daemon)
    async with api.open(prompt="1", max_tokens=8000, sampling=GREEDY) as stream:
        frames = await stream.until("token")
        daemon.process.terminate()
        since_s = time.monotonic()
        frames += await stream.rest()
    check_grammar(frames)
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "SHUTTING_DOWN")
    assert await asyncio.to_thread(daemon.process.wait, 20) == 0
    assert time.monotonic() - since_s < 8
    assert home.processes() == []
