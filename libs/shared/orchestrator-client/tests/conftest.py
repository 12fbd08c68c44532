from collections.abc import AsyncIterator

import pytest

from orchestrator_client import Client, RetryPolicy, Timeouts
from orchestrator_client.testing import FakeOrchestratord

QUICK = RetryPolicy(attempts=4, total_ms=5_000, base_ms=1, cap_ms=2)
QUICK_RECONNECT = RetryPolicy(attempts=None, total_ms=300, base_ms=1, cap_ms=5)
SHORT = Timeouts(connect_s=2, request_s=5, idle_s=5)


@pytest.fixture
async def fake() -> AsyncIterator[FakeOrchestratord]:
    async with FakeOrchestratord.running() as server:
        yield server


@pytest.fixture
async def client(fake: FakeOrchestratord) -> AsyncIterator[Client]:
    async with Client(fake.url, retry=QUICK, reconnect=QUICK_RECONNECT, timeouts=SHORT) as it:
        yield it
