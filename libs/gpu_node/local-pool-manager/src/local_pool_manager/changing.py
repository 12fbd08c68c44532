"""Carries one change of a pool's model out: the acts behind the state machine."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from engine_provisioner import EngineError, EngineStatus
from local_pool_manager import changeover
from local_pool_manager.changeover import Act, Change, Phase, Stimulus
from local_pool_manager.crew import Crew, Target
from local_pool_manager.errors import PoolError
from local_pool_manager.pool import Pool
from local_pool_manager.surroundings import Surroundings
from local_pool_manager.types import ChangeOutcome

log = logging.getLogger(__name__)

Until: TypeAlias = Callable[[Callable[[], bool]], Awaitable[None]]
"""Waits until something is so that only a change of the pool can bring about."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A change that is due; without a reference the pool is unloaded."""

    model_ref: str | None
    drain_ms: int
    outcome: asyncio.Future[ChangeOutcome]
    model_id: str | None = None
    restart: bool = False
    """Only stop the engines: they are brought up again with the same model."""
    rest: bool = False
    """Only stop the engines: they are brought up again once somebody asks for them."""


def between(pool: Pool, *orders: Order | None) -> tuple[str, ...]:
    """Return the models of a pool that serve or may serve once these orders are carried out."""
    wished = (order.model_ref for order in orders if order is not None)
    return tuple(dict.fromkeys(ref for ref in (pool.model_ref, *wished) if ref is not None))


class Changing:
    """One change under way; it alone touches the pool's engines meanwhile."""

    def __init__(
        self,
        pool: Pool,
        order: Order,
        around: Surroundings,
        until: Until,
        *,
        withdrawn: Callable[[], bool],
    ) -> None:
        self._pool = pool
        self._order = order
        self._around = around
        self._until = until
        self._withdrawn = withdrawn
        self._old = pool.crew
        self._target: Target | None = None
        self.bad_luck = False
        """Whether the new engine failed in a way that need not happen again."""

    async def run(self) -> Change:
        """Carry the change out to its end; each phase is cut off at its deadline."""
        order, now_ms = self._order, self._around.now_ms
        limits = replace(self._around.limits, drain_ms=order.drain_ms)
        change, act = changeover.begin(
            limits,
            old=self._old.target.model_ref if self._old else None,
            new=order.model_ref,
            now_ms=now_ms(),
        )
        next_act: Act | None = act
        while next_act is not None:
            log.debug("pool %s: %s, %s", self._pool.config.id, change.phase, next_act)
            self._pool.phase, self._pool.next_model = change.phase.value, order.model_id
            self._touch()
            stimulus = await self._bounded(next_act, change)
            change, next_act = changeover.step(limits, change, stimulus, now_ms=now_ms())
        return change

    async def _bounded(self, act: Act, change: Change) -> Stimulus:
        now_ms = self._around.now_ms()
        left_ms = max(0, (change.deadline_ms or now_ms) - now_ms)
        try:
            async with asyncio.timeout(left_ms / 1000):
                return await self._perform(act, change)
        except TimeoutError:
            return changeover.DeadlinePassed()

    async def _perform(self, act: Act, change: Change) -> Stimulus:
        match act:
            case Act.PLAN:
                return await self._plan()
            case Act.START_NEW:
                return await self._start_new()
            case Act.COMMIT:
                return await self._commit()
            case Act.DRAIN_OLD:
                return await self._drain(change)
            case Act.REVOKE_OLD:
                return await self._revoke(change)
            case Act.STOP_OLD:
                return await self._stop_old(change)
            case Act.AWAIT_MEMORY:
                return await self._await_memory()
            case Act.STOP_NEW:
                return await self._stop_new()
            case Act.KEEP_OLD:
                return await self._keep_old()
            case Act.START_OLD:
                return await self._start_old()

    async def _plan(self) -> Stimulus:
        pool, around = self._pool, self._around
        assert self._order.model_ref is not None  # an unload is not planned
        lanes = around.lanes_in_service(pool)
        if self._old is not None:
            lanes = {name: 1 - pool.replicas[name].lane for name in lanes}
        try:
            pool.devices = around.planner.devices(pool.config)
            target = await around.plan(pool, self._order.model_ref, lanes)
            beside = around.lacking(pool, target) is None
            if not beside:
                around.require_room(pool, target)
        except (PoolError, EngineError) as error:
            return changeover.Failed(str(error))
        self._target = target
        return changeover.Planned(beside=beside)

    async def _start_new(self) -> Stimulus:
        pool, target = self._pool, self._target
        assert target is not None  # planned before
        for plan in target.plans:
            pool.replicas[plan.wish.replica_id].successor_plan = plan
        pool.successor = self._around.enlist(pool, target, False)
        self._touch()
        failure = await pool.successor.ready()
        self.bad_luck = failure is not None and not pool.successor.hopeless
        return changeover.Ready() if failure is None else changeover.Failed(failure)

    async def _commit(self) -> Stimulus:
        pool, new = self._pool, self._pool.successor
        assert new is not None  # started before
        try:
            await self._around.remember(pool, self._order.model_ref)
            if self._old is not None:
                self._old.retire()
            await new.announce()
        except OSError as error:
            return changeover.Failed(f"the new engine cannot be handed over: {error}")
        await self._until(lambda: all(replica.serves_from(new.pids) for replica in pool.supervised))
        pool.crew, pool.successor = new, None
        pool.closing = False
        self._touch()
        return changeover.Committed()

    async def _drain(self, change: Change) -> Stimulus:
        if change.phase is Phase.DRAINING:
            self._pool.closing = True
            self._touch()
            await self._until(lambda: not self._held(change) or self._withdrawn())
            return changeover.Withdrawn() if self._withdrawn() else changeover.Drained()
        await self._until(lambda: not self._held(change))
        return changeover.Drained()

    async def _revoke(self, change: Change) -> Stimulus:
        model = self._order.model_ref
        reason = self._pool.fault or (
            f"pool {self._pool.config.id!r} changes its model to {model!r}"
            if model
            else f"pool {self._pool.config.id!r} unloads its model"
        )
        for replica in self._pool.supervised:
            replica.revoke_until(_last_old(change, replica.generation), reason)
        await self._until(lambda: not self._held(change))
        return changeover.Drained()

    async def _stop_old(self, change: Change) -> Stimulus:
        if self._old is not None:
            await self._old.stop()
        if change.phase is Phase.STOPPING:
            self._pool.crew = None
            self._touch()
        return changeover.Stopped()

    async def _await_memory(self) -> Stimulus:
        if self._old is not None:
            await self._around.room.until_free(self._pool.devices, self._old.all_pids)
        return changeover.Released()

    async def _stop_new(self) -> Stimulus:
        if self._pool.successor is not None:
            await self._pool.successor.stop()
        return changeover.Stopped()

    async def _keep_old(self) -> Stimulus:
        assert self._old is not None  # the new engines started beside them
        self._fall_back(self._old, self._old.statuses.get)
        try:
            await self._old.announce()
        except OSError as error:
            return changeover.Failed(f"its handoff cannot be written: {error}")
        return changeover.Ready()

    async def _start_old(self) -> Stimulus:
        assert self._old is not None  # without old engines a change ends before
        self._fall_back(self._old, lambda _: None)
        self._pool.crew = crew = self._around.enlist(self._pool, self._old.target, True)
        self._pool.closing = False
        failure = await crew.ready()
        return changeover.Ready() if failure is None else changeover.Failed(failure)

    def _fall_back(self, old: Crew, status_of: Callable[[str], EngineStatus | None]) -> None:
        self._pool.successor = None
        for plan in old.target.plans:
            replica_id = plan.wish.replica_id
            self._pool.replicas[replica_id].settle_on(plan, status_of(replica_id))
        self._touch()

    def _held(self, change: Change) -> int:
        return sum(
            replica.held_until(_last_old(change, replica.generation))
            for replica in self._pool.supervised
        )

    def _touch(self) -> None:
        self._around.touch(self._pool.config.id)


def _last_old(change: Change, generation: int) -> int:
    # Once the new engine took over beside the old one, the newest generation is its own.
    return generation - 1 if change.phase in {Phase.RETIRING, Phase.CLEARING} else generation
