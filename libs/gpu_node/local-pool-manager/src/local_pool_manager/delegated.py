"""The course of a pool whose engines another program starts.

Wishes for a model go out as files, and engines come in through their handoff files, which say what
wish they answer. The order of a change is that of every change (`changeover.py`); what differs is
that the other program stops and starts, and that it knows nothing of leases: so the old engine is
drained before the wish is written.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from engine_provisioner import read_desired, write_desired
from local_pool_manager import changeover
from local_pool_manager.changeover import Act, Change, Phase, Stimulus
from local_pool_manager.changing import Order, between
from local_pool_manager.errors import PoolBusy, PoolError, PoolNotOurs
from local_pool_manager.lock import is_owned
from local_pool_manager.pool import Pool
from local_pool_manager.surroundings import Surroundings
from local_pool_manager.swap import Demand
from local_pool_manager.types import ChangeOutcome
from pool_registry_types import DesiredModel, HandoffPayload, HealthState

log = logging.getLogger(__name__)

SERVICE = "engine-provisionerd"
LOOK_S = 0.5
"""How often it is seen whether that program runs, while there is no engine."""


def service_dir(runtime_dir: Path) -> Path:
    """Return where that program keeps what only it reads and writes."""
    return runtime_dir / "service"


class Delegate:
    """Has the model of one pool changed; `run` is the only task that does it."""

    def __init__(self, pool: Pool, around: Surroundings) -> None:
        self._pool = pool
        self._around = around
        self._asked: Order | None = None
        self._under_way: Order | None = None
        self._stirred = asyncio.Event()
        self._wish: DesiredModel | None = None
        self._engines_before: frozenset[int] = frozenset()
        self._waiting_for: str | None = None

    @property
    def model_refs(self) -> tuple[str, ...]:
        """The models that serve or may serve in the end."""
        return between(self._pool, self._asked, self._under_way)

    def hear(self, pool_id: str) -> None:
        """Look again when something about the pool has changed."""
        if pool_id == self._pool.config.id:
            self._stirred.set()
            if any(replica.handoff for replica in self._pool.replicas.values()):
                self._stop_waiting()

    def tell_demand(
        self,
        demand: Mapping[str, Demand],
        *,
        source: str = "",  # noqa: ARG002 - as the conductor's
        valid_ms: int | None = None,  # noqa: ARG002
        max_wait_ms: int | None = None,  # noqa: ARG002
    ) -> None:
        """Have the engine started if its pool waits for the first wish; it serves one model."""
        if any(wish.waiting for wish in demand.values()):
            self._pool.wanted.set()

    def waiting(self, _model_id: str) -> int:
        """Return 0: a pool that serves one model keeps it anyway."""
        return 0

    def order(self, model_ref: str, drain_ms: int) -> asyncio.Future[ChangeOutcome]:
        """Ask for another model; raises `PoolBusy` while a change is under way."""
        if self._asked or self._under_way:
            raise PoolBusy(f"the model of pool {self._pool.config.id!r} is being changed already")
        outcome: asyncio.Future[ChangeOutcome] = asyncio.get_running_loop().create_future()
        self._asked = Order(model_ref, drain_ms, outcome)
        self._pool.wanted.set()
        self._stirred.set()
        return outcome

    def rest(self, _drain_ms: int) -> asyncio.Future[ChangeOutcome]:
        """Refuse: who starts the engines of this pool would start them again; `PoolNotOurs`."""
        raise PoolNotOurs(
            f"the engines of pool {self._pool.config.id!r} are started by {SERVICE}; stop it first"
        )

    def wake(self) -> None:
        """Do nothing: what rests is not ours."""

    def fault(self, cause: str) -> None:
        """Leave it to the program that owns the engines, which sees the same devices."""
        log.warning("pool %s: %s", self._pool.config.id, cause)

    async def run(self) -> None:
        """Keep the wish that stands true to the pool's model, and carry out changes."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell_what_is_missing())
                await self._restate()
                if not self._pool.config.preload:
                    tasks.create_task(self._wake())
                while True:
                    await self._until(lambda: self._asked is not None)
                    self._under_way, self._asked = self._asked, None
                    assert self._under_way is not None
                    await self._settle(await self._change(self._under_way), self._under_way)
        finally:
            for unfinished in (self._asked, self._under_way):
                if unfinished is not None:
                    unfinished.outcome.cancel()

    async def _restate(self) -> None:
        """Wish for the pool's model unless that is what stands, or what is configured anyway."""
        pool = self._pool
        stands = await asyncio.to_thread(read_desired, self._around.runtime_dir, pool.config.id)
        standing = stands.model_ref if stands else pool.config.model_ref
        if pool.model_ref is not None and pool.model_ref != standing:
            await self._wish_for(pool.model_ref)

    async def _wake(self) -> None:
        await self._pool.wanted.wait()
        if self._pool.model_ref is not None and self._wish is None:
            await self._wish_for(self._pool.model_ref)

    async def _wish_for(self, model_ref: str) -> DesiredModel:
        pool_id = self._pool.config.id
        self._wish = wish = await asyncio.to_thread(
            write_desired, self._around.runtime_dir, pool_id, model_ref
        )
        log.info("pool %s wishes for %s (%s)", pool_id, model_ref, wish.generation)
        return wish

    async def _tell_what_is_missing(self) -> None:
        pool = self._pool
        while True:
            if any(replica.handoff for replica in pool.replicas.values()):
                self._stop_waiting()
            else:
                runs = await asyncio.to_thread(self._service_runs)
                state, missing = self._missing(runs=runs)
                offer = self._offer() if runs else ()
                # Whoever reads the catalog does so when a pool has changed; the other program
                # enters the model there, unheard by us.
                unheard = runs and pool.wanted.is_set() and not offer
                if unheard or (missing, offer) != (self._waiting_for, pool.loadable):
                    self._waiting_for = pool.trouble = missing
                    pool.waiting, pool.loadable = state, offer
                    self._touch()
            await asyncio.sleep(LOOK_S)

    def _offer(self) -> tuple[str, ...]:
        """Return the pool's model once it is known by id: tasks for it may wait for its engine."""
        offered = self._around.loadable().items()
        return tuple(model_id for model_id, ref in offered if ref == self._pool.model_ref)

    def _stop_waiting(self) -> None:
        waited_for, self._waiting_for = self._waiting_for, None
        if waited_for is not None:
            self._pool.loadable = ()
            if self._pool.trouble == waited_for:
                self._pool.trouble = None
            self._touch()

    def _missing(self, *, runs: bool) -> tuple[HealthState, str]:
        if self._pool.model_ref is None:
            return HealthState.STOPPED, "no model is configured (model_ref)"
        if not runs:
            return (
                HealthState.STOPPED,
                f"{SERVICE}, which starts its engines, does not run for {self._runtime_dir}",
            )
        if not self._pool.wanted.is_set():
            return HealthState.STOPPED, "no model is loaded until one is asked for"
        return (
            HealthState.STARTING,
            f"{SERVICE} has not handed an engine over yet; its log says more",
        )

    def _service_runs(self) -> bool:
        return is_owned(service_dir(self._runtime_dir))

    @property
    def _runtime_dir(self) -> Path:
        return self._around.runtime_dir

    # One change

    async def _change(self, order: Order) -> Change:
        around = self._around
        limits = replace(around.limits, drain_ms=order.drain_ms)
        self._engines_before = frozenset(handoff.pid for handoff in self._serving())
        change, act = changeover.begin(
            limits,
            old=self._pool.model_ref if self._engines_before else None,
            new=order.model_ref,
            now_ms=around.now_ms(),
        )
        next_act: Act | None = act
        while next_act is not None:
            log.debug("pool %s: %s, %s", self._pool.config.id, change.phase, next_act)
            left_ms = max(0, (change.deadline_ms or 0) - around.now_ms())
            stimulus: Stimulus
            try:
                async with asyncio.timeout(left_ms / 1000):
                    stimulus = await self._perform(next_act, order)
            except TimeoutError:
                stimulus = changeover.DeadlinePassed()
            except (PoolError, OSError) as error:
                stimulus = changeover.Failed(str(error))
            change, next_act = changeover.step(limits, change, stimulus, now_ms=around.now_ms())
        return change

    async def _perform(self, act: Act, order: Order) -> Stimulus:
        pool = self._pool
        match act:
            case Act.PLAN:
                return await self._plan(order)
            case Act.DRAIN_OLD:
                pool.closing = True
                self._touch()
                await self._until(lambda: not pool.active_leases)
                return changeover.Drained()
            case Act.REVOKE_OLD:
                reason = f"pool {pool.config.id!r} changes its model to {order.model_ref!r}"
                for replica in pool.replicas.values():
                    replica.revoke_until(replica.generation, reason)
                await self._until(lambda: not pool.active_leases)
                return changeover.Drained()
            case Act.STOP_OLD:
                return changeover.Stopped()
            case Act.AWAIT_MEMORY:
                return changeover.Released()
            case Act.START_NEW:
                assert order.model_ref is not None  # no order to unload is made here
                return await self._answered(await self._wish_for(order.model_ref))
            case Act.COMMIT:
                await self._around.remember(pool, order.model_ref)
                return changeover.Committed()
            case Act.STOP_NEW:
                if pool.model_ref is not None:
                    await self._wish_for(pool.model_ref)
                return changeover.Stopped()
            case Act.START_OLD | Act.KEEP_OLD:
                await self._until(self._as_before)
                return changeover.Ready()

    async def _plan(self, order: Order) -> Stimulus:
        if not self._service_runs():
            return changeover.Failed(
                f"{SERVICE}, which would change it, does not run for {self._runtime_dir}"
            )
        assert order.model_ref is not None  # no order to unload is made here
        # While the old model serves; the other program finds it in the catalog then.
        await self._around.planner.bring(order.model_ref)
        return changeover.Planned(beside=False)

    async def _answered(self, wish: DesiredModel) -> Stimulus:
        await self._until(lambda: self._failure(wish) is not None or self._serves(wish))
        failure = self._failure(wish)
        return changeover.Ready() if failure is None else changeover.Failed(failure)

    def _failure(self, wish: DesiredModel) -> str | None:
        handoffs = (replica.handoff for replica in self._pool.replicas.values())
        errors = (
            handoff.desired_error
            for handoff in handoffs
            if handoff is not None and _answers(handoff, wish)
        )
        return next((error for error in errors if error), None)

    def _serves(self, wish: DesiredModel) -> bool:
        serving = [handoff for handoff in self._serving() if _answers(handoff, wish)]
        return len(serving) >= self._pool.config.replicas

    def _as_before(self) -> bool:
        serving = self._serving()
        untouched = {handoff.pid for handoff in serving} >= self._engines_before
        return untouched or (self._wish is not None and self._serves(self._wish))

    def _serving(self) -> list[HandoffPayload]:
        return [
            replica.handoff
            for replica in self._pool.replicas.values()
            if replica.serves and replica.handoff is not None
        ]

    async def _settle(self, change: Change, order: Order) -> None:
        pool = self._pool
        pool.closing = False
        if change.phase is Phase.DONE:
            pool.model_ref, pool.trouble = order.model_ref, None
        else:
            serving = f"; {change.old!r} serves on" if change.old else ""
            pool.trouble = f"{change.new!r} was not loaded: {change.error}{serving}"
            log.warning("pool %s: %s", pool.config.id, pool.trouble)
        self._under_way = None
        self._touch()
        order.outcome.set_result(ChangeOutcome(pool.model_ref, change.error))

    async def _until(self, seen: Callable[[], bool]) -> None:
        while True:
            self._stirred.clear()
            if seen():
                return
            await self._stirred.wait()

    def _touch(self) -> None:
        self._around.touch(self._pool.config.id)


def _answers(handoff: HandoffPayload, wish: DesiredModel) -> bool:
    return (handoff.desired_generation or 0) >= wish.generation
