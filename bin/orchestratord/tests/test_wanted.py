"""Which names are fetched for tasks, when that begins, and what follows from a failure."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from api_types import PreparationStep
from model_provisioner import FetchSettings, NetworkPolicy, NetworkRefusedError, Progress
from orchestratord.home.wanted import REST_MS, WANTED_AT_MOST, WantedModels

TINY = "https://models.example/tiny.gguf"


class Bench:
    """Wanted models, with a source that answers when the test says so."""

    def __init__(self, group: asyncio.TaskGroup, policy: str = "allow") -> None:
        self.now_ms = 0
        self.asked: list[str] = []
        self.answers: asyncio.Queue[str | Exception] = asyncio.Queue()
        fetch = FetchSettings(policy=NetworkPolicy.parse(policy))
        self.wanted = WantedModels(fetch, now_ms=lambda: self.now_ms)
        self.wanted.begin(group, self._bring)

    async def _bring(self, reference: str, on_progress: Progress) -> str:
        self.asked.append(reference)
        on_progress(
            PreparationStep(
                id="x", kind="fetch_model", description="", status="running", bytes_done=5
            )
        )
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def fetched(self, model_id: str, answer: str | Exception) -> None:
        """Have a task wait for a model, and its fetch end."""
        ended = asyncio.Event()
        self.wanted.changed = ended.set
        self.wanted.demanded({model_id})
        self.answers.put_nowait(answer)
        await ended.wait()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as group:
        bench = Bench(group)
        yield bench
        bench.wanted.stop()


async def test_a_reference_has_one_id_and_is_fetched_once_tasks_wait_for_it(bench: Bench) -> None:
    assert bench.wanted.claim(TINY, taken=()) == "tiny"
    assert bench.wanted.claim(TINY, taken=("tiny",)) == "tiny"
    assert bench.wanted.claim("https://else.example/tiny.gguf", taken=()) == "tiny-2"
    await asyncio.sleep(0)
    assert bench.asked == []
    bench.wanted.demanded({"tiny", "of-somebody-else"})
    bench.wanted.demanded({"tiny"})
    await asyncio.sleep(0)
    assert bench.asked == [TINY]
    step = bench.wanted.step("tiny")
    assert step is not None
    assert (step.id, step.bytes_done) == ("fetch", 5)


@pytest.mark.parametrize("name", ["tiny", "org/model", "file:/models/tiny.gguf", "./tiny.gguf", ""])
async def test_other_names_are_left_to_the_catalog(bench: Bench, name: str) -> None:
    assert bench.wanted.claim(name, taken=()) is None


async def test_what_has_come_is_wanted_no_longer(bench: Bench) -> None:
    bench.wanted.claim(TINY, taken=())
    assert bench.wanted.offered() == ("tiny",)
    await bench.fetched("tiny", "tiny")
    assert bench.wanted.offered() == ()
    assert bench.wanted.step("tiny") is None


async def test_a_failure_is_told_for_a_while_and_then_tried_again(bench: Bench) -> None:
    bench.wanted.claim(TINY, taken=())
    await bench.fetched("tiny", OSError("the line is cut"))
    (failure,) = bench.wanted.failures()
    assert (failure.reason, failure.retry_ms) == ("the line is cut", REST_MS)
    assert bench.wanted.offered() == ()
    bench.wanted.demanded({"tiny"})
    bench.now_ms += REST_MS
    assert (bench.wanted.failures(), bench.wanted.offered()) == ((), ("tiny",))
    await bench.fetched("tiny", "tiny")
    assert bench.asked == [TINY, TINY]


async def test_a_model_that_is_here_under_another_name_is_told_by_it(bench: Bench) -> None:
    bench.wanted.claim(TINY, taken=())
    await bench.fetched("tiny", "tiny-2")
    assert "'tiny-2'" in bench.wanted.failures()[0].reason


async def test_names_that_nobody_waits_for_do_not_pile_up(bench: Bench) -> None:
    for number in range(3 * WANTED_AT_MOST):
        bench.wanted.claim(f"https://models.example/{number}.gguf", taken=())
    assert len(bench.wanted.offered()) == WANTED_AT_MOST


async def test_a_network_policy_is_asked_before_anything_waits() -> None:
    async with asyncio.TaskGroup() as group:
        bench = Bench(group, policy="models.example")
        for reference in ("https://else.example/tiny.gguf", "hf:org/repo/tiny.gguf"):
            with pytest.raises(NetworkRefusedError, match="not in the policy's list"):
                bench.wanted.claim(reference, taken=())
        assert bench.wanted.claim(TINY, taken=()) == "tiny"
