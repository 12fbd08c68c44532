"""What queue and sampler promise: each task ends once, in order, and a seed repeats itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from demo_model import DEMO, ENDLESS

from .calls import Api, Frame, check_grammar, text_of
from .daemons import Daemon, Place, Pool

SEEDS = range(64)
TASKS = 200
SLOTS = 4


async def test_64_seeds_repeat_themselves_byte_for_byte_on_a_strict_replica(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(place(Pool.of(models, DEMO, strict=True)).start())

    async def tell(seed: int) -> tuple[bytes, int]:
        frames = await api.run(
            prompt="1", seed=seed, determinism="strict", sampling={"temperature": 1.0}
        )
        check_grammar(frames)
        assert frames[-1].data["seed"] == seed
        assert DEMO.may_say(text_of(frames))
        # How many pieces share a frame depends on timing; their text and number must not.
        return text_of(frames).encode(), frames[-1].data["tokens_out"]

    first = await asyncio.gather(*(tell(seed) for seed in SEEDS))
    second = await asyncio.gather(*(tell(seed) for seed in reversed(SEEDS)))
    assert first == second[::-1]
    assert len(set(first)) > len(SEEDS) // 2


async def test_200_tasks_on_4_slots_end_once_each_in_the_order_of_their_admission(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, ENDLESS, slots=SLOTS, ctx=512), admission_capacity=TASKS).start()
    api = connect(daemon)
    waiting = {
        "prompt": "1",
        "max_tokens": 40,
        "sampling": {"temperature": 0},
    }
    admitted = [await api.submit(**waiting) for _ in range(TASKS)]
    streams = await asyncio.gather(*(api.read(task["task_id"]) for task in admitted))
    for frames in streams:
        check_grammar(frames)
        assert _ends(frames) == ["end"]
        assert text_of(frames) == ENDLESS.expected_text(40)
    tasks = [await api.get(f"/v2/tasks/{task['task_id']}") for task in admitted]
    started = [task["timings"]["started_ms"] for task in tasks]
    assert started == sorted(started), "a later task overtook an earlier one"
    assert max(task["queue_position"] for task in admitted) > 0, "nothing ever waited"
    pools = await api.get("/v2/pools")
    assert pools["pools"][0]["slots_free"] == SLOTS
    assert daemon.engine().busy() == 0


async def test_interactive_goes_first_and_batch_does_not_starve(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(place(Pool.of(models, ENDLESS, ctx=4096)).start())
    async with api.open(prompt="1", max_tokens=4000) as holder:
        await holder.until("token")
        batch = [await api.submit(prompt="1", max_tokens=1, priority="batch") for _ in range(2)]
        interactive = [await api.submit(prompt="1", max_tokens=1) for _ in range(12)]
        await api.cancel(holder.task_id)
    everyone = [*batch, *interactive]
    await asyncio.gather(*(api.read(task["task_id"]) for task in everyone))
    listed = (await api.get("/v2/tasks"))["tasks"]
    finished = [task for task in listed if task["state"] == "finished"]
    order = [
        task["task_id"]
        for task in sorted(finished, key=lambda task: task["timings"]["first_token_at_ms"])
    ]
    assert len(order) == len(everyone)
    place_of_first_batch = min(order.index(task["task_id"]) for task in batch)
    assert 7 <= place_of_first_batch <= 9, "one batch task after eight interactive ones"


def _ends(frames: list[Frame]) -> list[str]:
    return [frame.event for frame in frames if frame.event in {"end", "error"}]
