"""Slots, states and counters after everything that can happen to them: nothing is lost."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

from demo_model import DEMO, ENDLESS, SLOW

from .calls import Answer, Api, check_grammar, engine_busy, eventually, text_of
from .daemons import Daemon, Engine, Place, Pool

GREEDY = {"temperature": 0}
LONG_PROMPT = "0123456789" * 200


async def test_a_slot_is_never_handed_out_before_the_engine_gave_it_back(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, slots=2, ctx=4096), admission_capacity=100).start()
    api = connect(daemon)
    engine = daemon.engine()
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(await asyncio.to_thread(_waiting_in, engine))

    async def one(index: int) -> None:
        prompt = LONG_PROMPT if index % 3 == 0 else "1"
        async with api.open(prompt=prompt, max_tokens=500) as stream:
            await stream.until("started" if index % 2 else "token")
            if index % 5 == 0:
                stream.response.close()
            await api.cancel(stream.task_id)

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(*(one(index) for index in range(24)))
    watching.cancel()
    assert len(seen) > 10
    assert not any(seen), "the engine had to queue what was sent to it"
    await _all_given_back(api, engine, slots=2)


async def test_a_cancel_on_a_hung_engine_ends_the_task_and_keeps_others_away_from_it(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, ctx=4096)).start()
    api = connect(daemon)
    engine = daemon.engine()
    async with api.open(prompt="1", max_tokens=4000) as stream:
        frames = await stream.until("token")
        engine.freeze()
        began_s = time.monotonic()
        await api.cancel(stream.task_id)
        frames += await stream.rest()
    assert time.monotonic() - began_s < 3
    check_grammar(frames)
    assert frames[-1].data["code"] == "CANCELED"
    assert await api.state(stream.task_id) == "canceled"
    async with api.open(prompt="1", max_tokens=3, sampling=GREEDY) as waiting:
        told = await waiting.until("started")
        assert told[0].data["queue_position"] == 1, "it was sent to an engine that hangs"
        health = await api.get("/v2/pools/slow/health")
        assert health["metrics"]["queue_depth"] == 1
        engine.thaw()
        told += await waiting.rest()
    check_grammar(told)
    assert text_of(told) == SLOW.expected_text(3)
    await _all_given_back(api, daemon.engine(), slots=1)


async def test_a_drained_pool_finishes_what_runs_takes_nothing_new_and_resumes(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, slots=2, ctx=4096)).start()
    api = connect(daemon)
    async with api.open(prompt="1", max_tokens=40, sampling=GREEDY) as running:
        frames = await running.until("token")
        drained = await api.call("POST", "/v2/pools/slow/drain", json={"deadline_ms": 20_000})
        assert drained.status == 202, drained
        health = await api.get("/v2/pools/slow/health")
        assert health["draining"]
        frames += await running.rest()
    assert text_of(frames) == SLOW.expected_text(40)
    shown = (await api.call("GET", "/metrics")).body.decode()
    series = ("pool_drain_duration_ms_count", 'outcome="emptied",pool_id="slow"} 1.0')
    assert any(all(part in line for part in series) for line in shown.splitlines())
    refused = await api.call("POST", "/v2/tasks", json={"prompt": "1"})
    assert refused.status == 503, refused
    assert refused.json()["retriable"] is True
    resumed = await api.call("POST", "/v2/pools/slow/resume")
    assert resumed.status == 200, resumed

    async def admitted() -> Answer | None:
        task = {"prompt": "1", "max_tokens": 3, "sampling": GREEDY}
        answer = await api.call("POST", "/v2/tasks", json=task)
        return answer if answer.status == 202 else None

    again = await eventually(admitted, "tasks admitted again", within_s=5)
    metrics = (await api.call("GET", "/metrics")).body.decode()
    assert re.search(r'pool_drain_duration_ms_count{.*outcome="emptied".*} 1.0', metrics)
    (pool,) = (await api.get("/v2/pools"))["pools"]
    stem = pool["model_id"]
    told = re.findall(r'"human": ?"(Pool slow [^"]+)"', daemon.output)
    assert told == [
        f"Pool slow serves model {stem} on 2 slots.",
        "Pool slow takes no new task; what runs may finish.",
        "Pool slow is empty.",
        "Pool slow takes tasks again.",
        f"Pool slow serves model {stem} on 2 slots.",
    ]
    assert text_of(await api.read(again.json()["task_id"])) == SLOW.expected_text(3)


async def test_a_drain_at_its_deadline_cuts_what_has_tokens_and_keeps_what_has_none(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, slots=1, ctx=4096)).start()
    api = connect(daemon)
    async with api.open(prompt="1", max_tokens=4000) as running:
        frames = await running.until("token")
        await api.call("POST", "/v2/pools/slow/drain", json={"deadline_ms": 200})
        frames += await running.rest()
    check_grammar(frames)
    assert frames[-1].data["code"] == "POOL_UNAVAILABLE"
    assert frames[-1].data["retriable"] is True


async def test_a_pool_that_cannot_load_says_why_and_holds_nobody_back(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api], tmp_path: Path
) -> None:
    good = Pool.of(models, DEMO, ctx=512)
    broken_model = tmp_path / "broken.gguf"
    broken_model.write_bytes(good.model.read_bytes()[:5_000])
    broken = Pool(ENDLESS, broken_model, {"id": "broken", "model_ref": f"file:{broken_model}"})
    missing = Pool(SLOW, broken_model, {"id": "missing", "model_ref": "file:/nowhere/at-all.gguf"})
    daemon = place(good, broken, missing).start(ready=False)
    api = connect(daemon)

    async def settled() -> bool:
        pools = {pool["pool_id"]: pool for pool in (await api.get("/v2/pools"))["pools"]}
        return bool(
            pools["demo"]["ready"]
            and "broken.gguf" in (pools["broken"]["last_error"] or "")
            and "at-all.gguf" in (pools["missing"]["last_error"] or "")
        )

    await eventually(settled, "one pool ready and two that say why not")
    assert (await api.call("GET", "/ready")).status == 200
    frames = await api.run(model_ref="demo", prompt="1", sampling=GREEDY)
    assert text_of(frames) == DEMO.expected_text()


async def test_abrupt_connections_leave_no_descriptor_behind(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, ENDLESS, slots=2, ctx=4096), admission_capacity=200).start()
    api = connect(daemon)
    engine = daemon.engine()

    async def leave(index: int) -> None:
        policy = "cancel" if index % 2 else "continue"
        async with api.open(prompt="1", max_tokens=50, on_disconnect=policy) as stream:
            if index % 3:
                await stream.until("started")
            stream.response.close()

    await asyncio.gather(*(leave(index) for index in range(30)))
    await _all_given_back(api, engine, slots=2)
    before = _descriptors(daemon)
    for _ in range(4):
        await asyncio.gather(*(leave(index) for index in range(30)))
        await _all_given_back(api, engine, slots=2)

    async def no_more() -> bool:
        return _descriptors(daemon) <= before + 3

    await eventually(no_more, "the descriptors given back")


def _waiting_in(engine: Engine) -> int:
    found = re.search(r"^llamacpp:requests_deferred (\d+)", engine.metrics(), re.MULTILINE)
    assert found, "the engine does not tell how many requests wait in it"
    return int(found[1])


def _descriptors(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


async def _all_given_back(api: Api, engine: Engine, *, slots: int) -> None:
    async def idle() -> bool:
        metrics = (await api.get(f"/v2/pools/{engine.pool_id}/health"))["metrics"]
        tasks = (await api.get("/v2/tasks?limit=500"))["tasks"]
        return bool(
            metrics["slots_free"] == slots
            and metrics["active_leases"] == metrics["queue_depth"] == 0
            and {task["state"] for task in tasks} <= {"finished", "failed", "canceled"}
        )

    await eventually(idle, "every slot and lease given back")
    await engine_busy(engine, 0)
