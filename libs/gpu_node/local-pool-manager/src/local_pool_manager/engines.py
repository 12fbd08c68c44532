"""The engines of this machine that are ours, as crews under supervision."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine_provisioner import EnginePlan, EngineState, EngineStatus
from local_pool_manager.crew import Crew, Supervise, Target
from local_pool_manager.pool import Pool
from local_pool_manager.ports import OnLoad
from local_pool_manager.registry import Registry

log = logging.getLogger(__name__)


class Engines:
    """Runs crews in `tasks`, and brings what becomes of their engines to the replicas."""

    def __init__(
        self,
        registry: Registry,
        tasks: asyncio.TaskGroup,
        *,
        supervise: Supervise,
        expect: Callable[[], None],
        on_load: OnLoad,
        keep_engines: bool,
    ) -> None:
        """`expect` is called when a handoff file may have come or gone."""
        self._registry = registry
        self._tasks = tasks
        self._supervise = supervise
        self._expect = expect
        self._on_load = on_load
        self._keep_engines = keep_engines
        self._crews: set[Crew] = set()

    def enlist(self, pool: Pool, target: Target, announced: bool) -> Crew:
        """Make a crew and run it in a task of its own; announced or not."""
        crew = Crew(
            target,
            supervise=self._supervise,
            tell=partial(self._on_engine, pool),
            announced=announced,
            keep_engines=self._keep_engines,
        )
        self._crews.add(crew)
        task = self._tasks.create_task(crew.run(), name=f"engines of {pool.config.id}")
        task.add_done_callback(lambda _: self._crews.discard(crew))
        return crew

    def pids(self) -> frozenset[int]:
        """Return their processes."""
        return frozenset(pid for crew in self._crews for pid in crew.pids)

    def let_go(self) -> None:
        """End supervision; engines that are to be kept run on."""
        for crew in self._crews:
            crew.end(kept=True)

    def _on_engine(self, pool: Pool, plan: EnginePlan, status: EngineStatus) -> None:
        if status.state is EngineState.STARTING:
            self._on_load(Path(plan.wish.model.path))
        replica = pool.replicas[plan.wish.replica_id]
        if not replica.told_before(status):
            log.info(
                "engine %s/%s is %s (process %s, model %s)",
                *(replica.pool_id, replica.replica_id, status.state.value),
                *(status.pid, plan.wish.model.id),
            )
        replica.tell(plan, status)
        self._expect()
        self._registry.refresh(replica)
