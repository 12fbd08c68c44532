"""Tasks that go where they are likely to be done first, and what they tell of it."""

import pytest

from admission_coordinator import Task
from admission_coordinator.scoring import prompt_text
from api_types import TaskRequest
from multi_node_placement import PrefixScorer, blocks_of
from orchestrator_core import Refusal

from .conftest import World, Worlds

LONG = "so much to read before the first word comes; " * 60


def blocks(answer: str = "", **fields) -> tuple[int, ...]:
    return blocks_of(prompt_text(TaskRequest.model_validate(fields), answer))


def chat(*said: str) -> list[dict[str, str]]:
    roles = ("system", "user", "assistant")
    return [
        {"role": roles[at if at < 1 else 2 - at % 2], "content": t} for at, t in enumerate(said)
    ]


async def read_for_two_seconds(world: World, task: Task) -> None:
    """Have a task that waits for its engine's first token get it, and run to its end."""
    engine = world.engine(task.pool_id)
    await engine.started(task.task_id)
    world.clock.ms += 2_000
    engine.release()
    await world.frames(task)


async def test_the_second_turn_goes_to_the_warm_pool_and_tells_why(world_of: Worlds) -> None:
    async with world_of({"pool-a": 2, "pool-b": 2}, scorer=PrefixScorer()) as world:
        only_b = {"mode": "pin", "pin_pool_id": "pool-b"}
        world.engine("pool-b").hold()
        first = world.submit(LONG, placement=only_b)
        await read_for_two_seconds(world, first)
        second = world.submit(f"{LONG} and more")
        await world.frames(second)
        assert (first.pool_id, second.pool_id) == ("pool-b", "pool-b")
        warm, cold = world.coordinator.status(second.task_id, identity="me").placement.candidates
        assert (warm.pool_id, warm.refused) == ("pool-b", None)
        assert (cold.pool_id, cold.refused) == ("pool-a", Refusal.NOT_FIRST.value)
        assert warm.estimate.prefill_ms < cold.estimate.prefill_ms
        assert warm.estimate.decode_ms == cold.estimate.decode_ms


async def test_a_session_is_not_sent_where_it_would_take_longer(world_of: Worlds) -> None:
    async with world_of({"pool-a": 2, "pool-b": 2}, scorer=PrefixScorer()) as world:
        only_b = {"mode": "pin", "pin_pool_id": "pool-b"}
        world.engine("pool-b").hold()
        first = world.submit(LONG, session_id="s", placement=only_b)
        await read_for_two_seconds(world, first)
        await world.frames(world.submit("something else"))
        # Nothing of this lies in the cache of the session's pool, so the usual order holds.
        other = world.submit("quite another matter " * 60, session_id="s")
        await world.frames(other)
        assert other.pool_id == "pool-a"


async def test_without_a_scorer_nothing_is_estimated(world_of: Worlds) -> None:
    async with world_of() as world:
        task = world.submit(LONG)
        await world.frames(task)
        assert task.work is None
        (candidate,) = world.coordinator.status(task.task_id, identity="me").placement.candidates
        assert candidate.estimate is None


def test_a_conversation_goes_on_from_its_own_prefix() -> None:
    so_far = chat("be brief " * 40, "tell me all of it " * 30, "all of it was this " * 40)
    first, then = (
        blocks(messages=so_far),
        blocks(messages=[*so_far, {"role": "user", "content": "?"}]),
    )
    assert len(first) > 4
    assert then[: len(first)] == first


def test_an_answer_is_part_of_the_next_turns_prefix() -> None:
    asked = chat("be brief " * 40, "tell me all of it " * 30)
    answer = "all of it was this " * 40
    after = blocks(answer, messages=asked)
    said = {"role": "assistant", "content": answer}
    then = blocks(messages=[*asked, said, {"role": "user", "content": "go on " * 100}])
    assert then[: len(after)] == after
    assert len(after) > len(blocks(messages=asked))


@pytest.mark.parametrize(
    "change",
    [{"tools": [{"type": "function", "function": {"name": "f"}}]}, {"messages": chat("x" * 999)}],
)
def test_what_an_engine_reads_first_makes_another_prefix(change) -> None:
    request = {"messages": chat("y" * 999)}
    assert blocks(**request)[0] != blocks(**{**request, **change})[0]


async def test_a_task_that_is_to_run_cold_looks_for_no_prefix(world_of: Worlds) -> None:
    async with world_of(scorer=PrefixScorer()) as world:
        cold, warm = world.submit(LONG, kv_hint="cold"), world.submit(LONG)
        assert (cold.work.reuses, warm.work.reuses) == (False, True)
        assert cold.work.blocks == warm.work.blocks
        first, second = world.submit(LONG, session_id="s"), world.submit(LONG, session_id="s")
        assert (first.work.reuses, second.work.reuses) == (False, True)
