"""When a request that was given up counts as gone."""

import asyncio
from collections.abc import Iterable

import pytest

from adapter_api import EngineFailed, EngineUnreachable
from worker_http import Departure
from worker_http.openai_dialect import Load, wait_until_gone


def departure(*, acknowledged: bool) -> Departure:
    future = asyncio.get_running_loop().create_future()
    future.set_result(acknowledged)
    return Departure(future)


async def gone(
    answers: Iterable[Load | Exception | None],
    *,
    acknowledged: bool = True,
    own: int = 0,
    alone: bool = True,
) -> bool:
    """Whether it counts as gone when the engine answers so, and with its last answer for ever."""
    told = list(answers)

    async def load() -> Load | None:
        answer = told.pop(0) if len(told) > 1 else told[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    try:
        async with asyncio.timeout(0.2):
            return await wait_until_gone(
                departure(acknowledged=acknowledged),
                load=load,
                own=lambda: own,
                alone=alone,
                timeout_ms=100,
            )
    except TimeoutError:
        return False


@pytest.mark.parametrize("acknowledged", [True, False])
async def test_where_nothing_is_counted_the_engines_close_must_do(acknowledged: bool) -> None:
    assert await gone([None], acknowledged=acknowledged) is acknowledged


async def test_one_clean_count_may_be_older_than_the_request() -> None:
    assert not await gone([Load(0), Load(1)])
    assert await gone([Load(1), Load(0), Load(0)])


async def test_our_own_other_requests_may_work_on() -> None:
    assert await gone([Load(2)], own=2)
    assert not await gone([Load(3)], own=2)


async def test_what_may_wait_uncounted_needs_the_engines_close() -> None:
    assert await gone([Load(0, all_counted=False)])
    assert not await gone([Load(0, all_counted=False)], acknowledged=False)
    assert await gone([Load(0)], acknowledged=False)


async def test_an_engine_that_refuses_connections_has_let_go_unless_a_relay_did() -> None:
    refused = EngineUnreachable("no connection")
    refused.__cause__ = ConnectionRefusedError()
    assert await gone([refused])
    assert not await gone([refused], alone=False)
    assert not await gone([EngineFailed("500")])
