from collections.abc import AsyncIterator

import pytest

from .shell import Shell


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with Shell.running() as shell:
        yield shell
