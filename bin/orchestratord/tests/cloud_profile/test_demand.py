"""Demand on its way to nodes: at once where it matters, and never in vain for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from admission_coordinator import ModelWaits
from api_types import ApiError, ErrorCode
from orchestrator_core import PoolRef
from orchestratord.cloud.demand import DemandCourier
from service_discovery_types import PoolDemand, PoolDemandResponse

POOL = PoolRef("node-a", "main")


class Nodes:
    """One node, and the client that calls it."""

    def __init__(self) -> None:
        self.lease = SimpleNamespace(node_id="node-a", incarnation=UUID(int=1))
        self.messages: asyncio.Queue[PoolDemand] = asyncio.Queue()
        self.failures: list[ErrorCode] = []
        self.calls = 0

    def find(self, node_id: str) -> Any:
        assert node_id == "node-a"
        return self.lease

    async def post(self, node: Any, path: str, answer: type, body: PoolDemand) -> Any:
        assert (node, path) == (self.lease, "/v2/pools/main/demand")
        self.calls += 1
        if self.failures:
            raise ApiError(self.failures.pop(0), "no")
        self.messages.put_nowait(body)
        return PoolDemandResponse(success=True)

    async def next(self) -> dict[str, int]:
        async with asyncio.timeout(5):
            message = await self.messages.get()
        assert (message.valid_ms, message.max_wait_ms) == (30_000, 900)
        return {each.model_id: each.waiting for each in message.models}


@asynccontextmanager
async def courier(nodes: Nodes) -> AsyncIterator[DemandCourier]:
    client: Any = nodes
    carrier = DemandCourier(nodes.find, client, max_wait_ms=900)
    running = asyncio.ensure_future(carrier.run())
    yield carrier
    running.cancel()


async def test_other_models_are_told_at_once_and_that_nobody_waits_too() -> None:
    nodes = Nodes()
    async with courier(nodes) as carrier:
        for models in ({"a": 1}, {"a": 1, "b": 2}, {}):
            carrier.tell_demand(POOL, {m: ModelWaits(n, 0) for m, n in models.items()})
            assert await nodes.next() == models
        carrier.tell_demand(POOL, {"a": ModelWaits(1, 0)})
        assert await nodes.next() == {"a": 1}


async def test_numbers_that_change_quickly_are_told_together() -> None:
    nodes = Nodes()
    async with courier(nodes) as carrier:
        for waiting in range(1, 50):
            carrier.tell_demand(POOL, {"a": ModelWaits(waiting, 0)})
            await asyncio.sleep(0.002)
        assert await nodes.next() == {"a": 1}
        assert await nodes.next() == {"a": 49}
        assert nodes.calls == 2


async def test_a_node_that_does_not_answer_is_told_again() -> None:
    nodes = Nodes()
    nodes.failures = [ErrorCode.NODE_UNAVAILABLE] * 2
    async with courier(nodes) as carrier:
        carrier.tell_demand(POOL, {"a": ModelWaits(1, 0)})
        assert await nodes.next() == {"a": 1}
        assert nodes.calls == 3


async def test_a_node_that_knows_no_demand_is_asked_once_in_its_life() -> None:
    nodes = Nodes()
    nodes.failures = [ErrorCode.NOT_FOUND]
    async with courier(nodes) as carrier:
        for models in ({"a": 1}, {}, {"b": 1}):
            carrier.tell_demand(POOL, {m: ModelWaits(n, 0) for m, n in models.items()})
            await asyncio.sleep(0.01)
        assert nodes.calls == 1
        nodes.lease = SimpleNamespace(node_id="node-a", incarnation=UUID(int=2))
        carrier.tell_demand(POOL, {"c": ModelWaits(1, 0)})
        assert await nodes.next() == {"c": 1}
