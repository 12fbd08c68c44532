"""What tasks wait for, carried to the nodes whose pools change models by it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID, uuid4

from admission_coordinator import ModelWaits
from api_types import ApiError, ErrorCode
from narration_core import get_logger
from orchestrator_core import PoolRef
from orchestratord.cloud.client import NodeClient
from service_discovery_types import ModelDemand, PoolDemand, PoolDemandResponse
from service_registry import NodeLease

VALID_MS = 30_000
"""A node forgets what it was told so long ago: we may have died."""
RENEW_S = 10.0
REST_S = 1.0
"""Between two messages that differ in numbers only: a pool swaps by seconds."""
RETRY_S = (0.25, 0.5, 1.0, 2.0, 5.0)
_DEAF = frozenset({ErrorCode.NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED, ErrorCode.POOL_NOT_FOUND})
"""Answers of a node that knows no demand, or the pool no more."""


@dataclass(slots=True)
class _Errand:
    """What one pool is to be told."""

    demand: Mapping[str, ModelWaits] = field(default_factory=dict)
    since_s: float = 0.0
    told: frozenset[str] = frozenset()
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class DemandCourier:
    """Fulfils `admission_coordinator.DemandSink` over HTTP; `run` is a loop."""

    def __init__(
        self,
        nodes: Callable[[str], NodeLease | None],
        client: NodeClient,
        *,
        max_wait_ms: int,
    ) -> None:
        self._nodes = nodes
        self._client = client
        self._max_wait_ms = max_wait_ms
        self._source = uuid4()
        self._numbers = count(1)
        self._errands: dict[PoolRef, _Errand] = {}
        self._begun: list[PoolRef] = []
        self._deaf: dict[PoolRef, UUID] = {}
        """Pools that take no demand, with the incarnation of the node that said so."""
        self._wake = asyncio.Event()
        self._log = get_logger(component="demand")

    def tell_demand(self, pool: PoolRef, demand: Mapping[str, ModelWaits]) -> None:
        """See `DemandSink.tell_demand`."""
        errand = self._errands.get(pool)
        if errand is None:
            if not demand:
                return
            errand = self._errands[pool] = _Errand()
            self._begun.append(pool)
            self._wake.set()
        errand.demand, errand.since_s = demand, asyncio.get_running_loop().time()
        errand.changed.set()

    async def run(self) -> None:
        """Carry, with a task for each pool that is waited for."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                begun, self._begun = self._begun, []
                for pool in begun:
                    group.create_task(self._carry(pool), name=f"demand of {pool}")

    async def _carry(self, pool: PoolRef) -> None:
        errand, failures = self._errands[pool], 0
        try:
            while True:
                errand.changed.clear()
                models = frozenset(errand.demand)
                told = await self._tell(pool, errand)
                failures = 0 if told else failures + 1
                if told and not models and not errand.changed.is_set():
                    return
                errand.told = models if told else errand.told
                if told:
                    await self._until_worth_it(errand)
                else:
                    await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S)) - 1])
        finally:
            del self._errands[pool]

    async def _until_worth_it(self, errand: _Errand) -> None:
        """Wait for other models, for other numbers and a rest, or until it must be said again."""
        loop = asyncio.get_running_loop()
        rested_s = loop.time() + REST_S
        try:
            async with asyncio.timeout(RENEW_S if errand.demand else None):
                await errand.changed.wait()
                while frozenset(errand.demand) == errand.told and loop.time() < rested_s:
                    errand.changed.clear()
                    async with asyncio.timeout_at(rested_s):
                        await errand.changed.wait()
        except TimeoutError:
            return

    async def _tell(self, pool: PoolRef, errand: _Errand) -> bool:
        """Send it; whether nothing is left to be said."""
        node = self._nodes(pool.node_id)
        if node is None or self._deaf.get(pool) == node.incarnation:
            return True
        aged_ms = round(1000 * (asyncio.get_running_loop().time() - errand.since_s))
        message = PoolDemand(
            source=self._source,
            seq=next(self._numbers),
            valid_ms=VALID_MS,
            max_wait_ms=self._max_wait_ms,
            models=tuple(
                ModelDemand(
                    model_id=model_id,
                    waiting=waits.waiting,
                    oldest_ms=waits.oldest_ms + aged_ms,
                )
                for model_id, waits in errand.demand.items()
            ),
        )
        path = f"/v2/pools/{pool.pool_id}/demand"
        try:
            await self._client.post(node, path, PoolDemandResponse, message)
        except ApiError as error:
            if error.code in _DEAF:
                self._deaf[pool] = node.incarnation
                self._log.warning("demand_not_taken", pool_id=str(pool), reason=error.message)
                return True
            self._log.info("demand_not_told", pool_id=str(pool), reason=error.message)
            return False
        return True
