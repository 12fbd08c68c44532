"""What the pools of a machine share, and what each asks of it."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine_provisioner import engine_pids, lane_in_service
from local_pool_manager.bringup import Planner
from local_pool_manager.changeover import ChangeLimits
from local_pool_manager.crew import Crew, Target
from local_pool_manager.errors import InsufficientVram
from local_pool_manager.pool import Pool
from local_pool_manager.ports import Loadable, StageAhead
from local_pool_manager.records import ModelChoices
from local_pool_manager.room import Room

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The services of the machine, as a pool sees them."""

    runtime_dir: Path
    private_dir: Path
    """What only the owner of the engines reads and writes."""
    planner: Planner
    choices: ModelChoices
    room: Room
    enlist: Callable[[Pool, Target, bool], Crew]
    """Make a crew and run it in a task of its own; announced or not."""
    our_pids: Callable[[], frozenset[int]]
    touch: Callable[[str], None]
    """Something about the pool of this id has changed."""
    loadable: Loadable
    stage: StageAhead
    limits: ChangeLimits
    max_wait_ms: int
    """How long a task may wait for another model than the loaded one before that one has to go."""
    now_ms: Callable[[], int]

    def lanes_in_service(self, pool: Pool) -> dict[str, int]:
        """Return the replicas of a pool, each with the lane of the engine that is there."""
        return {
            replica.replica_id: lane_in_service(
                self.runtime_dir,
                pool.config.id,
                replica.replica_id,
                private_dir=self.private_dir,
            )
            for replica in pool.supervised
        }

    async def plan(self, pool: Pool, model_ref: str, lanes: Mapping[str, int]) -> Target:
        """Plan the engines of a pool, and show on it what is made for them meanwhile.

        `lanes` are as for `Planner.plan`, which says what is raised.
        """

        def making(what: str | None) -> None:
            if what != pool.making:
                pool.making = what
                self.touch(pool.config.id)

        def begin(what: str) -> None:
            log.info("pool %s: %s", pool.config.id, what)
            making(what)

        try:
            return await self.planner.plan(
                pool.config, model_ref, lanes, gpus=pool.devices, on_making=begin
            )
        finally:
            making(None)

    def lacking(self, pool: Pool, target: Target, *, returned: Collection[int] = ()) -> str | None:
        """Return why the engines do not fit now, None when they do."""
        return self.room.lacking(
            target,
            pool.devices,
            shares=pool.config.tensor_split,
            ours=self.our_pids(),
            returned=returned,
        )

    def require_room(self, pool: Pool, target: Target) -> None:
        """Raise `InsufficientVram` unless the GPUs hold the model once the pool's engines go."""
        if not pool.devices:
            return
        leaving = pool.crew.pids if pool.crew else self._pids_handed_over(pool)
        lacking = self.lacking(pool, target, returned=leaving)
        if lacking is not None:
            raise InsufficientVram(
                f"model {target.model.id!r} does not fit in pool {pool.config.id!r}: {lacking}"
            )

    async def remember(self, pool: Pool, model_ref: str | None) -> None:
        """Write down what the pool is to serve, also after a restart; raises OSError."""
        config = pool.config
        await asyncio.to_thread(self.choices.choose, config.id, config.model_ref, model_ref)

    def _pids_handed_over(self, pool: Pool) -> frozenset[int]:
        # Engines that an earlier run left: they are adopted or stopped.
        return frozenset().union(
            *(
                engine_pids(
                    self.runtime_dir,
                    pool.config.id,
                    replica.replica_id,
                    private_dir=self.private_dir,
                )
                for replica in pool.supervised
            )
        )
