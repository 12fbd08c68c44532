"""Ten times more work than there is room for: refusals are honest and cost no memory."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo_model import ENDLESS, SLOW

from .calls import EVENT_STREAM, Answer, Api, check_grammar, eventually, text_of
from .daemons import Daemon, Place, Pool

CAPACITY = 10
TEN_TIMES = 10 * (CAPACITY + 1)
WAVES = 8
FLAT_BYTES = 6 * 1024 * 1024
"""What the allocator may keep: far less than any wave would leave behind if it leaked."""


def check_refusal(answer: Answer, policy: str) -> None:
    """Hold a refusal to the contract, in headers and in body."""
    code = "ADMISSION_REJECT" if policy == "reject" else "QUEUE_FULL_DROP_LRU"
    assert answer.status == 429, answer
    body = answer.json()
    assert body["code"] == code
    assert body["policy_label"] == policy
    assert body["retriable"] is True
    assert body["retry_after_ms"] > 0
    assert int(answer.headers["X-Backoff-Ms"]) == body["retry_after_ms"]
    assert int(answer.headers["Retry-After"]) == -(-body["retry_after_ms"] // 1000)
    assert body["correlation_id"] == answer.headers["X-Correlation-Id"]


async def hold_the_slot(api: Api) -> dict[str, Any]:
    """Run a task that outlives the test: whatever comes after it waits."""
    holder = await api.submit(prompt="1", max_tokens=30_000)

    async def runs() -> bool:
        return await api.state(holder["task_id"]) == "running"

    await eventually(runs, "the slot held")
    return holder


async def test_a_full_queue_refuses_with_429_and_says_when_to_come_back(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(
        Pool.of(models, SLOW, ctx=32_768),
        admission_capacity=CAPACITY,
        admission_policy="reject",
    ).start()
    api = connect(daemon)
    holder = await hold_the_slot(api)
    task = {"prompt": "x" * 100, "max_tokens": 5}
    waiting = [await api.submit(**task) for _ in range(CAPACITY)]

    async def wave() -> None:
        answers = await asyncio.gather(
            *(
                api.call("POST", "/v2/tasks", json=task, headers=headers)
                for index in range(TEN_TIMES)
                for headers in [EVENT_STREAM if index % 2 else {}]
            )
        )
        for answer in answers:
            check_refusal(answer, "reject")

    await wave()
    before_bytes = daemon.rss_bytes()
    for _ in range(WAVES):
        await wave()
    assert daemon.rss_bytes() - before_bytes < FLAT_BYTES
    states = Counter([await api.state(task["task_id"]) for task in waiting])
    assert states == {"queued": CAPACITY}, "a refusal has cost somebody else's place"
    await asyncio.gather(*(api.cancel(task["task_id"]) for task in [*waiting, holder]))


async def test_drop_lru_drops_the_oldest_of_the_lowest_priority_and_tells_it(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(
        Pool.of(models, SLOW, ctx=32_768), admission_capacity=3, admission_policy="drop-lru"
    ).start()
    api = connect(daemon)
    holder = await hold_the_slot(api)

    async def add(priority: str) -> str:
        accepted = await api.submit(prompt="1", max_tokens=5, priority=priority)
        return str(accepted["task_id"])

    async def dropped(task_id: str) -> None:
        frames = await asyncio.wait_for(api.read(task_id), 5)
        check_grammar(frames)
        assert (frames[-1].event, frames[-1].data["code"]) == ("error", "QUEUE_FULL_DROP_LRU")
        assert frames[-1].data["retriable"] is True
        assert frames[-1].data["retry_after_ms"] > 0
        assert text_of(frames) == ""
        assert await api.state(task_id) == "failed"

    first = await add("interactive")
    old_batch, young_batch = await add("batch"), await add("batch")
    second = await add("interactive")
    await dropped(old_batch)
    third = await add("interactive")
    await dropped(young_batch)
    # Nothing of a lower priority is left: the oldest of its own goes.
    fourth = await add("interactive")
    await dropped(first)
    # A batch task may not push out interactive ones.
    answer = await api.call(
        "POST", "/v2/tasks", json={"prompt": "1", "max_tokens": 5, "priority": "batch"}
    )
    check_refusal(answer, "drop-lru")
    for task_id in (second, third, fourth):
        assert await api.state(task_id) == "queued"
    assert await api.state(holder["task_id"]) == "running"
    for task_id in (second, third, fourth, holder["task_id"]):
        await api.cancel(task_id)


async def test_ten_times_too_much_with_drop_lru_leaves_every_task_with_one_end_and_memory_flat(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(
        Pool.of(models, ENDLESS, slots=2, ctx=4096),
        admission_capacity=CAPACITY,
        admission_policy="drop-lru",
        task_retention_ms=200,
    ).start()
    api = connect(daemon)

    async def wave() -> Counter[str]:
        ended = await asyncio.gather(
            *(api.run(prompt="x" * 100, max_tokens=200) for _ in range(TEN_TIMES))
        )
        for frames in ended:
            check_grammar(frames)
        return Counter(frames[-1].data.get("code", "end") for frames in ended)

    told = await wave()
    await wave()
    before_bytes = daemon.rss_bytes()
    for _ in range(WAVES):
        told += await wave()
    assert set(told) == {"end", "QUEUE_FULL_DROP_LRU"}
    assert told["QUEUE_FULL_DROP_LRU"] > 0
    assert daemon.rss_bytes() - before_bytes < FLAT_BYTES


async def test_the_queue_is_limited_by_bytes_too(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(
        Pool.of(models, SLOW, ctx=32_768),
        admission_max_bytes=10_000,
        admission_policy="reject",
    ).start()
    api = connect(daemon)
    tasks = [await hold_the_slot(api)]
    tasks += [await api.submit(prompt="x" * 4_000, max_tokens=1) for _ in range(2)]
    answer = await api.call("POST", "/v2/tasks", json={"prompt": "x" * 4_000, "max_tokens": 1})
    check_refusal(answer, "reject")
    tasks.append(await api.submit(prompt="x" * 500, max_tokens=1))
    for task in tasks:
        await api.cancel(task["task_id"])


async def test_what_has_ended_long_ago_is_forgotten_by_name(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(place(Pool.of(models, ENDLESS, ctx=4096), task_retention_ms=300).start())
    frames = await api.run(prompt="1", max_tokens=1)
    task_id = frames[0].data["task_id"]
    # Of the frames that tell a place in the queue only the newest is told again.
    again = await api.read(task_id)
    assert [f for f in again if f.event != "metrics"] == [f for f in frames if f.event != "metrics"]

    async def gone() -> bool:
        # Nothing waits here, so it is the next tasks that make the table look at its clock.
        await api.run(prompt="1", max_tokens=1)
        answer = await api.call("GET", f"/v2/tasks/{task_id}")
        return answer.status == 404 and answer.json()["code"] == "TASK_NOT_FOUND"

    await eventually(gone, "the task forgotten")
