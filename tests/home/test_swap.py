"""One pool, many models: tasks wait while the pool swaps, and nobody waits for ever."""

import asyncio
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo_model import DEMO, ENDLESS, SLOW, Recital, ensure
from model_cache.pages import forget

from .calls import Answer, Api, Frame, check_grammar, eventually, text_of
from .daemons import Daemon, Place, Pool, until

GREEDY = {"temperature": 0}
MAX_WAIT_MS = 1_500
MIN_RESIDENCY_MS = 1_000
TASKS = 200
TOKENS = 24
HEAVY = Recital("heavy", "One~more that~is large~enough to~be seen~on its~way.", True, 2048, 49_152)
"""80 MB."""


def swapping(models: Path, recital: Recital = DEMO, **more: object) -> Pool:
    """A pool that starts with one model and loads others."""
    return Pool.of(
        models,
        recital,
        pool_id="main",
        **{"slots": 2, "ctx": 4096, "swap_models": True, "min_residency_ms": 0, **more},
    )


async def pull(api: Api, models: Path, *recitals: Recital) -> list[str]:
    """Have models in the catalog."""
    paths = [ensure(models, spec=recital) for recital in recitals]
    for path in paths:
        await _pull_file(api, path)
    return [path.stem for path in paths]


async def _pull_file(api: Api, path: Path) -> None:
    answer = await api.call("POST", "/v2/catalog/models", json={"reference": f"file:{path}"})
    assert answer.status == 202, answer

    async def there() -> bool:
        pools = (await api.get("/v2/pools"))["pools"]
        return all(path.stem in pool["loadable_models"] for pool in pools)

    await eventually(there, f"{path.stem} among the models that can be loaded")


def of_unknown_architecture(content: bytes) -> bytes:
    """Return a model that every file check lets through and no engine loads."""
    key = b"general.architecture" + (8).to_bytes(4, "little") + (5).to_bytes(8, "little")
    assert content.count(key + b"llama") == 1
    return content.replace(key + b"llama", key + b"llamx")


async def recite(api: Api, model: str, tokens: int = TOKENS, **more: Any) -> list[Frame]:
    """Run a task and hold its stream to the grammar."""
    frames = await api.run(model_ref=model, prompt="1", max_tokens=tokens, sampling=GREEDY, **more)
    check_grammar(frames)
    return frames


async def pool(api: Api) -> Any:
    return await api.get("/v2/pools/main/status")


async def loads(api: Api) -> int:
    """How many engines the pool has had: one more for each swap."""
    return int((await pool(api))["replicas"][0]["generation"])


async def test_home_without_a_configured_pool_serves_every_model_that_it_has(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place().start(ready=False)
    api = connect(daemon)
    assert (await api.call("GET", "/ready")).status == 200, "an empty pool waits for nothing"
    demo, endless = await pull(api, models, DEMO, ENDLESS)
    cards = {card["id"]: card["llama_orch"] for card in (await api.get("/v1/models"))["data"]}
    assert {name: card["ready"] for name, card in cards.items()} == {demo: False, endless: False}
    assert cards[demo]["loadable_by"] == ["default"]

    vague = await api.call("POST", "/v2/tasks", json={"prompt": "1"})
    assert (vague.status, vague.json()["code"]) == (400, "INVALID_PARAMS")
    assert set(vague.json()["candidates"]) == {demo, endless}

    accepted = await api.submit(model_ref=demo, prompt="1", max_tokens=TOKENS, sampling=GREEDY)
    assert [step["id"] for step in accepted["preparation"]["steps"]][-1] == "load"
    frames = await api.read(accepted["task_id"])
    assert text_of(frames) == DEMO.expected_text(TOKENS), frames[-1]
    frames = await recite(api, endless)
    assert text_of(frames) == ENDLESS.expected_text(TOKENS)
    steps = [step for frame in frames for step in frame.data.get("prep") or ()]
    assert "load" in steps, "a waiting client is told what is loaded"
    cards = {card["id"]: card["llama_orch"] for card in (await api.get("/v1/models"))["data"]}
    assert {name: card["ready"] for name, card in cards.items()} == {demo: False, endless: True}


async def test_alternating_tasks_of_two_models_are_grouped_and_none_waits_for_long(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    main = swapping(models, min_residency_ms=MIN_RESIDENCY_MS)
    daemon = place(main, batch_max_wait_ms=MAX_WAIT_MS, admission_capacity=TASKS).start()
    api = connect(daemon)
    names = await pull(api, models, DEMO, ENDLESS)
    recitals = dict(zip(names, (DEMO, ENDLESS), strict=True))
    before, began_s = await loads(api), time.monotonic()
    async with asyncio.TaskGroup() as group:
        running = []
        for number in range(TASKS):
            name = names[number % 2]
            running.append((name, group.create_task(recite(api, name))))
            await asyncio.sleep(0.02)  # Arrivals, not synchronisation.
    took_ms = 1000 * (time.monotonic() - began_s)
    ends = [(name, task.result()) for name, task in running]
    assert {frames[-1].event for _, frames in ends} == {"end"}
    for name, frames in ends:
        assert text_of(frames) == recitals[name].expected_text(TOKENS)
    swaps = await loads(api) - before
    assert 1 <= swaps <= 1 + took_ms / MIN_RESIDENCY_MS
    longest_ms = max(frames[-1].data["queue_time_ms"] for _, frames in ends)
    # Its own turn comes after the bound, a turn of the other model at most, and a load of each.
    assert longest_ms < MAX_WAIT_MS + 10_000, (longest_ms, swaps, took_ms)


async def test_a_swap_lets_the_streams_of_the_old_model_end(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    main = swapping(models, SLOW)
    daemon = place(main, batch_max_wait_ms=100).start()
    api = connect(daemon)
    (demo,) = await pull(api, models, DEMO)
    async with api.open(
        model_ref=main.model.stem, prompt="1", max_tokens=100, sampling=GREEDY
    ) as stream:
        frames = await stream.until("token")
        other = await recite(api, demo)
        assert text_of(other) == DEMO.expected_text(TOKENS)
        frames += await stream.rest()
    check_grammar(frames)
    assert frames[-1].event == "end", frames[-1]
    assert text_of(frames) == SLOW.expected_text(100)


async def test_a_swap_takes_the_copy_in_ram_that_was_made_while_its_task_waited(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    main = swapping(models, SLOW, slots=1)
    daemon = place(main, batch_max_wait_ms=60_000).start()
    api = connect(daemon)
    (heavy,) = await pull(api, models, HEAVY)
    path = ensure(models, spec=HEAVY)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    forget(path)
    async with api.open(
        model_ref=main.model.stem, prompt="1", max_tokens=3_000, sampling=GREEDY
    ) as stream:
        await stream.until("token")
        waiting = await api.submit(model_ref=heavy, prompt="1", max_tokens=TOKENS, sampling=GREEDY)
        await eventually(lambda: _staged(api, heavy), "a copy in RAM", within_s=30)
        await api.cancel(stream.task_id)
    frames = await api.read(waiting["task_id"])
    assert text_of(frames) == HEAVY.expected_text(TOKENS), frames[-1]
    assert (await api.get("/v2/model-cache"))["hits"] == 1
    read_bytes = _read_from_disk(daemon.engine("main").pid)
    assert read_bytes < path.stat().st_size / 4, "the engine went to the disk"


async def test_an_unused_model_is_unloaded_and_comes_back_when_it_is_asked_for(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    here = place(swapping(models, idle_unload_ms=300))
    api = connect(here.start(ready=False))
    await eventually(lambda: _loadable(api, 1), "a model in the catalog")
    for _ in range(2):
        frames = await api.run(prompt="1", max_tokens=TOKENS, sampling=GREEDY)
        assert text_of(frames) == DEMO.expected_text(TOKENS), frames[-1]
        await eventually(lambda: _is_empty(api), "an empty pool")
        assert len(here.processes()) == 1, "the engine has gone"
    assert (await api.call("GET", "/ready")).status == 200


async def test_a_model_that_does_not_load_ends_its_tasks_and_the_old_one_serves_on(
    place: Callable[..., Place],
    models: Path,
    connect: Callable[[Daemon], Api],
    tmp_path: Path,
) -> None:
    main = swapping(models)
    api = connect(place(main).start())
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(of_unknown_architecture(ensure(models, spec=ENDLESS).read_bytes()))
    await _pull_file(api, broken)
    frames = await recite(api, "broken")
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "MODEL_NOT_AVAILABLE")
    assert "could not load model broken" in frames[-1].data["message"]
    assert frames[-1].data["retriable"] is True
    again = await api.call("POST", "/v2/tasks", json={"model_ref": "broken", "prompt": "1"})
    assert (again.status, again.json()["code"]) == (503, "MODEL_NOT_AVAILABLE")
    assert int(again.headers["Retry-After"]) >= 1
    assert text_of(await recite(api, main.model.stem)) == DEMO.expected_text(TOKENS)


async def test_an_engine_killed_in_the_middle_of_a_swap_costs_no_task(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    main = swapping(models)
    daemon = place(main).start()
    api = connect(daemon)
    (endless,) = await pull(api, models, ENDLESS)
    known = set(daemon.place.processes())
    waiting = asyncio.ensure_future(recite(api, endless))
    new = await asyncio.to_thread(until, lambda: set(daemon.place.processes()) - known, "an engine")
    for pid in new:
        os.kill(pid, signal.SIGKILL)
    frames = await waiting
    assert text_of(frames) == ENDLESS.expected_text(TOKENS), frames[-1]
    assert text_of(await recite(api, main.model.stem)) == DEMO.expected_text(TOKENS)


async def test_a_swap_that_nobody_waits_for_any_more_does_not_happen(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    main = swapping(models, SLOW, slots=1)
    api = connect(place(main, batch_max_wait_ms=600).start())
    (demo,) = await pull(api, models, DEMO)
    async with api.open(
        model_ref=main.model.stem, prompt="1", max_tokens=100, sampling=GREEDY
    ) as stream:
        await stream.until("token")
        before = await loads(api)
        accepted = await api.submit(model_ref=demo, prompt="1", max_tokens=TOKENS)
        await api.cancel(accepted["task_id"])
        frames = await stream.rest()
    assert frames[-1].event == "end"
    assert (await pool(api))["model_id"] == main.model.stem
    assert await loads(api) == before


async def test_the_task_that_caused_a_swap_may_be_canceled_in_the_middle_of_it(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    main = swapping(models)
    daemon = place(main).start()
    api = connect(daemon)
    (endless,) = await pull(api, models, ENDLESS)
    accepted = await api.submit(model_ref=endless, prompt="1", max_tokens=TOKENS)
    await eventually(lambda: _changes(api), "a change under way")
    await api.cancel(accepted["task_id"])
    assert (await api.read(accepted["task_id"]))[-1].data["code"] == "CANCELED"
    for name, recital in ((main.model.stem, DEMO), (endless, ENDLESS)):
        assert text_of(await recite(api, name)) == recital.expected_text(TOKENS)


async def test_a_daemon_killed_in_the_middle_of_a_swap_leaves_no_engine_behind(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    main = swapping(models)
    here = place(main)
    daemon = here.start()
    api = connect(daemon)
    (endless,) = await pull(api, models, ENDLESS)
    known = set(here.processes())
    await api.submit(model_ref=endless, prompt="1", max_tokens=TOKENS)
    await asyncio.to_thread(until, lambda: set(here.processes()) - known, "an engine")
    daemon.kill()
    daemon = here.start()
    api = connect(daemon)
    for name, recital in ((main.model.stem, DEMO), (endless, ENDLESS)):
        assert text_of(await recite(api, name)) == recital.expected_text(TOKENS)
    await asyncio.to_thread(
        until, lambda: len(here.processes()) == 2, "one daemon and one engine", within_s=20
    )


async def test_a_swap_a_reload_and_a_drain_keep_out_of_each_others_way(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    main = swapping(models)
    api = connect(place(main).start())
    endless, slow = await pull(api, models, ENDLESS, SLOW)

    before = await loads(api)
    drained = await api.call("POST", "/v2/pools/main/drain", json={"deadline_ms": 1000})
    assert drained.status == 202
    refused = await api.call("POST", "/v2/tasks", json={"model_ref": endless, "prompt": "1"})
    assert refused.status == 503
    assert await loads(api) == before, "a drained pool swaps for nobody"
    assert (await _reload(api, models, SLOW)).status == 202
    await eventually(lambda: _has(api, slow), "the model of the reload")
    assert (await pool(api))["draining"], "a reload does not end a drain"
    await api.call("POST", "/v2/pools/main/resume")

    waiting = asyncio.ensure_future(recite(api, endless))

    async def under_way() -> bool:
        assert not waiting.done(), waiting.result()
        return await _changes(api)

    await eventually(under_way, "a swap under way")
    busy = await _reload(api, models, SLOW)
    assert (busy.status, busy.json()["code"]) == (409, "POOL_BUSY")
    assert text_of(await waiting) == ENDLESS.expected_text(TOKENS)


async def test_a_hundred_tasks_of_three_models_are_all_served_right(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(swapping(models), batch_max_wait_ms=500).start()
    api = connect(daemon)
    names = await pull(api, models, DEMO, ENDLESS, SLOW)
    recitals = dict(zip(names, (DEMO, ENDLESS, SLOW), strict=True))
    order = [names[(number * 7) % 3] for number in range(45)]
    ended = await asyncio.gather(*(recite(api, name, 8) for name in order))
    outcomes = Counter(frames[-1].event for frames in ended)
    assert outcomes == {"end": 45}
    for name, frames in zip(order, ended, strict=True):
        assert text_of(frames) == recitals[name].expected_text(8)


async def _reload(api: Api, models: Path, recital: Recital) -> Answer:
    wish = {"new_model_ref": f"file:{ensure(models, spec=recital)}"}
    return await api.call("POST", "/v2/pools/main/reload", json=wish)


async def _staged(api: Api, model_id: str) -> bool:
    models = (await api.get("/v2/model-cache"))["models"]
    return any(one["model_id"] == model_id and one["state"] == "staged" for one in models)


def _read_from_disk(pid: int) -> int:
    """What the kernel had to fetch for a process, which is nothing of what was in RAM."""
    (line,) = re.findall(r"^read_bytes: (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    return int(line)


async def _loadable(api: Api, count: int) -> bool:
    return len((await pool(api))["loadable_models"]) == count


async def _is_empty(api: Api) -> bool:
    status = await pool(api)
    return status["model_id"] is None and status["state"] == "stopped"


async def _changes(api: Api) -> bool:
    return (await pool(api))["change"] is not None


async def _has(api: Api, model_id: str) -> bool:
    status = await pool(api)
    return bool(status["model_id"] == model_id and status["change"] is None)
