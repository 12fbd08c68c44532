"""When a given-up request counts as gone, whoever else uses the engine."""

import asyncio
from collections.abc import Sequence

import pytest

from adapter_api import EngineUnreachable
from llamacpp_http.stops import LeftRun, wait_until_gone
from llamacpp_http.wire import Slot, SlotParams
from worker_http import Departure

MINE, OTHER = 1_500_000_000, 1_500_000_001
IDLE = Slot(is_processing=False, params=SlotParams(MINE))


def busy(mark: int) -> Slot:
    return Slot(is_processing=True, params=SlotParams(mark))


class Engine:
    """Answers `/slots` as told; the last answer stays."""

    def __init__(self, *answers: Sequence[Slot] | Exception) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def slots(self) -> Sequence[Slot]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused() -> EngineUnreachable:
    error = EngineUnreachable("refused")
    error.__cause__ = ConnectionRefusedError()
    return error


async def gone(
    engine: Engine,
    *,
    mark: int | None = MINE,
    in_slot: bool = True,
    withdrawn: bool = False,
    alone: bool = True,
) -> bool:
    acknowledged = asyncio.get_running_loop().create_future()
    acknowledged.set_result(withdrawn)
    run = LeftRun(mark, in_slot, Departure(acknowledged))
    try:
        async with asyncio.timeout(0.1):
            await wait_until_gone(run, engine.slots, alone=alone, timeout_ms=100)
    except TimeoutError:
        return False
    return True


async def test_a_slot_that_bears_our_mark_is_waited_for_and_two_clean_answers_end_it() -> None:
    engine = Engine([busy(MINE)], [IDLE], [busy(MINE)], [IDLE])
    assert await gone(engine)
    assert engine.asked == 5


async def test_slots_that_work_for_others_do_not_matter() -> None:
    assert await gone(Engine([busy(OTHER), busy(OTHER)]))
    assert not await gone(Engine([busy(OTHER), busy(MINE)]))


async def test_a_request_that_may_still_wait_needs_its_connection_or_an_idle_slot() -> None:
    assert not await gone(Engine([busy(OTHER)]), in_slot=False)
    assert await gone(Engine([busy(OTHER)]), in_slot=False, withdrawn=True)
    assert await gone(Engine([busy(OTHER), IDLE]), in_slot=False)


async def test_a_request_without_a_mark_needs_its_connection_or_an_idle_engine() -> None:
    assert await gone(Engine([busy(OTHER)]), mark=None, withdrawn=True)
    assert not await gone(Engine([busy(OTHER), IDLE]), mark=None)
    assert await gone(Engine([IDLE, IDLE]), mark=None)


@pytest.mark.parametrize(("alone", "expected"), [(True, True), (False, False)])
async def test_a_refused_connection_means_gone_only_where_nothing_relays(
    alone: bool, expected: bool
) -> None:
    assert await gone(Engine(refused()), alone=alone) is expected


async def test_an_engine_that_fails_to_answer_is_asked_again() -> None:
    assert await gone(Engine(EngineUnreachable("slow"), [IDLE]))
