"""The mock adapter conforms, so that what passes with it has met a true adapter."""

import asyncio

import pytest

from adapter_api import AdapterError, EngineFailed, EngineReset, Progress, WorkerAdapter
from adapter_api.conformance import CHECKS, EXPECTED, Check, Course, Ending, Phase, Trouble
from mock_adapter import MockAdapter, Script


class ScriptedMock:
    """Follows a course by a script of the mock adapter."""

    def __init__(self) -> None:
        self.mock = MockAdapter()

    @property
    def adapter(self) -> WorkerAdapter:
        return self.mock

    def follow(self, course: Course) -> None:
        self.mock.live = course.trouble is not Trouble.UNREACHABLE
        self.mock.script = Script(
            pieces=course.pieces,
            tokens_per_read=course.bytes_per_write or 1,
            progress=[Progress(1, course.tokens_in)] if course.stall is not Phase.QUEUE else [],
            fail=self._failure(course),
            fail_after_tokens=0 if course.trouble else len(course.pieces),
            hang_after_tokens={None: None, Phase.DECODE: 1}.get(course.stall, 0),
            finish_reason=course.finish_reason,
            tokens_in=course.tokens_in,
            tokens_out=course.tokens_out,
        )

    @staticmethod
    def _failure(course: Course) -> AdapterError | None:
        if course.trouble is not None:
            return EXPECTED[course.trouble](course.trouble)
        match course.ending:
            case Ending.FINISH:
                return None
            case Ending.ERROR_EVENT:
                return EngineFailed("the engine failed")
            case _:
                return EngineReset("the stream broke")

    async def reached(self) -> None:
        await self.mock.started()

    async def abandoned(self) -> None:
        await self.mock.idle()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_mock_adapter_conforms(check: Check) -> None:
    async with asyncio.timeout(5):
        await check(ScriptedMock())
