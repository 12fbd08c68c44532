"""The course of one pool: brought up, changed, swapped and restarted by a single task."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from engine_provisioner import EngineError
from local_pool_manager.bringup import retry_pause_s
from local_pool_manager.changeover import WITHDRAWN, Change, Phase
from local_pool_manager.changing import Changing, Order, between
from local_pool_manager.errors import PoolBusy, PoolError
from local_pool_manager.pool import Pool
from local_pool_manager.surroundings import Surroundings
from local_pool_manager.swap import Decision, Demand, Residence, Stay, SwapRules, SwapTo, Unload
from local_pool_manager.turns import Turns
from local_pool_manager.types import ChangeOutcome
from pool_registry_types import HealthState, LoadFailure

log = logging.getLogger(__name__)

FAULT_DRAIN_MS = 5_000
"""What runs on a broken device is not worth waiting for."""

FAULT_MEMORY_MS = 600_000
"""Devices that broke within this time make the pause before a restart longer."""


class Conductor:
    """Decides what the engines of one pool do; `run` is the only task that does it."""

    def __init__(self, pool: Pool, around: Surroundings) -> None:
        self._pool = pool
        self._around = around
        self._asked: Order | None = None
        self._under_way: Order | None = None
        self._faults = 0
        self._fault_ms = 0
        self._since_ms = 0
        self._began_ms = 0
        self._load_ms = 0
        self._staged: str | None = None
        self._stirred = asyncio.Event()
        self._turns = Turns(
            SwapRules(
                min_residency_ms=pool.config.min_residency_ms,
                max_wait_ms=around.max_wait_ms,
                idle_unload_ms=pool.config.idle_unload_ms,
            )
        )

    @property
    def model_refs(self) -> tuple[str, ...]:
        """The models that serve or may serve in the end."""
        return between(self._pool, self._asked, self._under_way)

    def hear(self, pool_id: str) -> None:
        """Look again when something about the pool has changed."""
        if pool_id == self._pool.config.id:
            self._stirred.set()

    def look_at_offer(self) -> None:
        """Show at once what the pool may load now, whatever it is doing."""
        if self._pool.config.swap_models:
            self._offer()
        elif not self._pool.wanted.is_set():
            self._offer_own()

    def tell_demand(
        self,
        demand: Mapping[str, Demand],
        *,
        source: str = "",
        valid_ms: int | None = None,
        max_wait_ms: int | None = None,
    ) -> None:
        """Take the wish list of a source, in place of the one before."""
        self._turns.tell(
            demand,
            self._around.now_ms(),
            source=source,
            valid_ms=valid_ms,
            max_wait_ms=max_wait_ms,
        )
        if any(wish.waiting for wish in demand.values()):
            self._pool.wanted.set()
        self._stirred.set()

    def waiting(self, model_id: str) -> int:
        """Return how many tasks wait for a model here."""
        wish = self._turns.demand(self._around.now_ms()).get(model_id)
        return wish.waiting if wish else 0

    def order(self, model_ref: str, drain_ms: int) -> asyncio.Future[ChangeOutcome]:
        """Ask for another model; raises `PoolBusy` while a change is under way."""
        if self._asked or self._under_way:
            raise PoolBusy(f"the model of pool {self._pool.config.id!r} is being changed already")
        self._asked = order = _make_order(model_ref, drain_ms)
        self._pool.wanted.set()
        self._stirred.set()
        return order.outcome

    def rest(self, drain_ms: int) -> asyncio.Future[ChangeOutcome]:
        """Ask for the engines to stop; raises `PoolBusy` while a change is under way."""
        if self._asked or self._under_way:
            raise PoolBusy(f"the model of pool {self._pool.config.id!r} is being changed")
        self._asked = order = _make_order(None, drain_ms, rest=True)
        self._stirred.set()
        return order.outcome

    def wake(self) -> None:
        """Start the engines if tasks have come to wait for them meanwhile."""
        if self._turns.demand(self._around.now_ms()):
            self._pool.wanted.set()

    def fault(self, cause: str) -> None:
        """Take the pool out of service at once, and restart its engines."""
        if self._pool.fault is None:
            log.error("pool %s: %s", self._pool.config.id, cause)
        self._pool.fault = cause
        self._touch()

    async def run(self) -> None:
        """Bring the pool up, and carry out one change after the other."""
        try:
            while True:
                self._under_way = order = await self._next_order()
                if order is self._asked:
                    self._asked = None
                self._began_ms = self._around.now_ms()
                changing = Changing(
                    self._pool,
                    order,
                    self._around,
                    self._until,
                    withdrawn=partial(self._withdrawn, order),
                )
                await self._settle(await changing.run(), order, transient=changing.bad_luck)
        finally:
            for unfinished in (self._asked, self._under_way):
                if unfinished is not None:
                    unfinished.outcome.cancel()

    async def _next_order(self) -> Order:
        """Serve, or try to, until a change is due."""
        async with asyncio.TaskGroup() as tasks:
            starting = tasks.create_task(self._bring_up())
            try:
                while True:
                    # Cleared before anything is looked at, so that nothing is missed.
                    self._stirred.clear()
                    due = self._due()
                    if isinstance(due, Order):
                        return due
                    await self._until_stirred(due.again_ms)
            finally:
                starting.cancel()

    def _due(self) -> Order | Stay:
        pool, drain_ms = self._pool, self._around.limits.drain_ms
        if pool.fault is not None and pool.crew is not None:
            return _make_order(None, FAULT_DRAIN_MS, restart=True)
        if self._asked is not None:
            return self._asked
        if not pool.config.swap_models:
            return Stay(None, "the pool serves one model")
        decision = self._decide()
        if pool.draining:
            return Stay(None, "the pool is drained")
        match decision:
            case SwapTo(model_id, reason):
                log.info("pool %s swaps to %s: %s", pool.config.id, model_id, reason)
                reference = self._around.loadable()[model_id]
                return _make_order(reference, drain_ms, model_id=model_id)
            case Unload(reason):
                log.info("pool %s unloads: %s", pool.config.id, reason)
                return _make_order(None, drain_ms)
            case Stay() as stay:
                return stay

    def _decide(self) -> Decision:
        pool, now_ms = self._pool, self._around.now_ms()
        loadable = self._offer()
        model_id = self._model_id(loadable)
        loaded = None
        if model_id is not None:
            loaded = Residence(
                model_id, self._since_ms, pool.last_used_ms, pool.active_leases, self._load_ms
            )
        decision = self._turns.decide(loaded, loadable, now_ms)
        waits = isinstance(decision, Stay)
        self._stage(self._turns.next_model(model_id, loadable, now_ms) if waits else None)
        return decision

    def _offer(self) -> Mapping[str, str]:
        """Return what the pool may load, and show it: not what has just failed."""
        pool, now_ms = self._pool, self._around.now_ms()
        loadable = self._around.loadable() if self._has_devices() else {}
        resting = {
            model_id: failure
            for model_id, failure in self._turns.resting(now_ms).items()
            if not failure.transient
        }
        able = tuple(model_id for model_id in loadable if model_id not in resting)
        failures = tuple(
            LoadFailure(
                model_id=model_id, reason=failure.reason, retry_ms=failure.until_ms - now_ms
            )
            for model_id, failure in resting.items()
        )
        known = {failure.model_id: failure.reason for failure in pool.load_failures}
        if pool.loadable != able or known != {each.model_id: each.reason for each in failures}:
            pool.loadable, pool.load_failures = able, failures
            self._touch()
        return loadable

    def _offer_own(self) -> None:
        """Show that a pool at rest would load its model for whoever asks for it."""
        model_id = self._model_id(self._around.loadable())
        loadable = (model_id,) if model_id is not None and self._has_devices() else ()
        if self._pool.loadable != loadable and not self._pool.config.swap_models:
            self._pool.loadable = loadable
            self._touch()

    def _has_devices(self) -> bool:
        try:
            self._around.planner.devices(self._pool.config)
        except PoolError:
            return False
        return True

    def _model_id(self, loadable: Mapping[str, str]) -> str | None:
        if self._pool.crew is not None:
            return self._pool.crew.target.model.id
        # It may be on its way.
        return next((i for i, ref in loadable.items() if ref == self._pool.model_ref), None)

    def _stage(self, model_id: str | None) -> None:
        if model_id != self._staged:
            self._staged = model_id
            if model_id is not None:
                self._around.stage(model_id)

    def _withdrawn(self, order: Order) -> bool:
        """Whether a swap is asked for by nobody any more."""
        demand = self._turns.demand(self._around.now_ms())
        return order.model_id is not None and order.model_id not in demand

    async def _bring_up(self) -> None:
        """Get devices, model and plan, however long that takes; then start the engines."""
        pool, around = self._pool, self._around
        if pool.crew is not None:
            return
        if pool.model_ref is None:
            missing = "no model is configured: give the pool a model_ref, or use --model"
            idle = "no model is loaded until one is asked for"
            swaps = pool.config.swap_models
            self._wait(HealthState.STOPPED, pool.trouble or (idle if swaps else missing))
            return
        if not pool.wanted.is_set():
            self._offer_own()
            self._wait(HealthState.STOPPED, pool.trouble)
            await pool.wanted.wait()
        if pool.fault is not None:
            self._wait(HealthState.RESTARTING, pool.fault)
            now_ms = around.now_ms()
            if now_ms - self._fault_ms > FAULT_MEMORY_MS:
                self._faults = 0
            self._fault_ms = now_ms
            await asyncio.sleep(retry_pause_s(self._faults))
            self._faults += 1
        attempt = 0
        while True:
            try:
                pool.devices = around.planner.devices(pool.config)
                self._wait(HealthState.LOADING, pool.trouble)
                pool.next_model = self._model_id(around.loadable())
                target = await around.plan(pool, pool.model_ref, around.lanes_in_service(pool))
                around.require_room(pool, target)
                break
            except (PoolError, EngineError) as error:
                self._wait(HealthState.FAILED, str(error))
                model_id = self._model_id(around.loadable())
                if pool.config.swap_models and model_id is not None:
                    self._turns.failed(model_id, str(error), around.now_ms())
                    self._stirred.set()
            await asyncio.sleep(retry_pause_s(attempt))
            attempt += 1
        self._wait(HealthState.STARTING, None)
        pool.fault = None
        for plan in target.plans:
            log.info("engine planned: %s", plan)
            pool.replicas[plan.wish.replica_id].settle_on(plan, None)
        if not pool.config.swap_models:
            # The plans tell from here on what it will serve.
            pool.loadable = ()
        self._since_ms = around.now_ms()
        pool.crew = around.enlist(pool, target, True)
        self._turns.succeeded(target.model.id)
        self._touch()

    async def _settle(self, change: Change, order: Order, *, transient: bool) -> None:
        pool = self._pool
        pool.closing = False
        pool.successor = None
        pool.phase = pool.next_model = None
        for replica in pool.supervised:
            replica.successor = replica.successor_plan = None
        if change.phase is Phase.DONE and not order.restart:
            self._settle_new(order)
        elif change.error == WITHDRAWN:
            log.info("pool %s keeps its model: %s", pool.config.id, change.error)
        elif change.error is not None:
            serving = f"; {change.old!r} serves on" if change.old else ""
            pool.trouble = f"{change.new!r} was not loaded: {change.error}{serving}"
            log.warning("pool %s: %s", pool.config.id, pool.trouble)
            if order.model_id is not None:
                now_ms = self._around.now_ms()
                self._turns.failed(order.model_id, change.error, now_ms, transient=transient)
                self._offer()
        try:
            await self._around.remember(pool, pool.model_ref)
        except OSError as error:
            log.warning("the model of pool %s is not remembered: %s", pool.config.id, error)
        self._under_way = None
        self._touch()
        order.outcome.set_result(ChangeOutcome(pool.model_ref, change.error))

    def _settle_new(self, order: Order) -> None:
        pool = self._pool
        if order.rest:
            pool.wanted.clear()
            pool.waiting = HealthState.STOPPED
            self._offer_own()
        else:
            pool.model_ref = order.model_ref
        pool.trouble = None
        self._since_ms = self._around.now_ms()
        self._load_ms = self._since_ms - self._began_ms
        if order.model_id is not None:
            self._turns.succeeded(order.model_id)
        if order.model_ref is None:
            for replica in pool.supervised:
                replica.plan = None

    async def _until(self, seen: Callable[[], bool]) -> None:
        while True:
            self._stirred.clear()
            if seen():
                return
            await self._stirred.wait()

    async def _until_stirred(self, again_ms: int | None) -> None:
        try:
            async with asyncio.timeout(None if again_ms is None else again_ms / 1000):
                await self._stirred.wait()
        except TimeoutError:
            return

    def _wait(self, state: HealthState, trouble: str | None) -> None:
        pool = self._pool
        if trouble and trouble != pool.trouble:
            log.warning("pool %s is not ready: %s", pool.config.id, trouble)
        pool.waiting, pool.trouble = state, trouble
        self._touch()

    def _touch(self) -> None:
        self._around.touch(self._pool.config.id)


def _make_order(
    model_ref: str | None,
    drain_ms: int,
    *,
    model_id: str | None = None,
    restart: bool = False,
    rest: bool = False,
) -> Order:
    outcome = asyncio.get_running_loop().create_future()
    return Order(model_ref, drain_ms, outcome, model_id, restart, rest)
