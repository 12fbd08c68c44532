"""Has pools follow the wishes that are written for them, and answers in their handoffs."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine_provisioner import read_desired
from local_pool_manager import ChangeOutcome, PoolConfig
from narration_core import get_logger
from pool_registry_types import DesiredModel, HandoffPayload

LOOK_S = 0.2


class Engines(Protocol):
    """What this needs of the engines of this machine; `LocalPoolManager` is one."""

    def reload(
        self, pool_id: str, new_model_ref: str, *, drain_ms: int | None = None
    ) -> asyncio.Future[ChangeOutcome]:
        """Change the model, or come back to the old one."""
        ...

    def preload(self, pool_id: str) -> None:
        """Start the engines of a pool that waits for its first wish."""
        ...

    async def announce(self, pool_id: str) -> None:
        """Write the handoffs of a pool again."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a wish; without an error, the model that it names is what is served."""

    generation: int
    error: str | None = None


class Wishes:
    """The wishes of the pools of this machine.

    A wish is answered once: by the handoffs of the engines that fulfil it, or by those of the
    engines before it, with the reason. A newer wish replaces one that waits.
    """

    def __init__(
        self,
        runtime_dir: Path,
        pools: Sequence[PoolConfig],
        *,
        read: Callable[[Path, str], DesiredModel | None] = read_desired,
        look_s: float = LOOK_S,
    ) -> None:
        self._runtime_dir = runtime_dir
        self._pools = tuple(pools)
        self._read = read
        self._look_s = look_s
        self._served: dict[str, str | None] = {}
        self._answers: dict[str, Answer] = {}
        self._log = get_logger(component="wishes")

    def applied(self) -> tuple[PoolConfig, ...]:
        """Return the pools as they are to be at the start: each with the model wished for last.

        A pool that waits for its first wish waits no longer once one stands, whenever it was made.
        """
        configs = tuple(self._as_wished(pool) for pool in self._pools)
        self._served = {config.id: config.model_ref for config in configs}
        return configs

    def _as_wished(self, pool: PoolConfig) -> PoolConfig:
        wish = self._read(self._runtime_dir, pool.id)
        if wish is None:
            return pool
        self._answers[pool.id] = Answer(wish.generation)
        return pool.model_copy(update={"model_ref": wish.model_ref, "preload": True})

    def seal(self, payload: HandoffPayload) -> HandoffPayload:
        """Say in a handoff which wish it answers, and how."""
        answer = self._answers.get(payload.pool_id)
        return payload.model_copy(
            update={
                "desired_generation": answer.generation if answer else None,
                "desired_error": answer.error if answer else None,
            }
        )

    async def follow(self, engines: Engines) -> None:
        """Follow the wishes of all pools, each at its own pace, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for pool in self._pools:
                tasks.create_task(self._follow(pool.id, engines), name=f"wishes of {pool.id}")

    async def _follow(self, pool_id: str, engines: Engines) -> None:
        while True:
            wish = await asyncio.to_thread(self._read, self._runtime_dir, pool_id)
            known = self._answers.get(pool_id)
            if wish is not None and (known is None or known.generation != wish.generation):
                await self._fulfil(pool_id, wish, engines)
            await asyncio.sleep(self._look_s)

    async def _fulfil(self, pool_id: str, wish: DesiredModel, engines: Engines) -> None:
        answer = Answer(wish.generation)
        if wish.model_ref == self._served[pool_id]:
            engines.preload(pool_id)
        else:
            # Whoever wishes has drained the pool: no task of theirs is in its engines.
            outcome = await engines.reload(pool_id, wish.model_ref, drain_ms=0)
            self._served[pool_id] = outcome.model_ref
            answer = Answer(wish.generation, outcome.error)
        self._answers[pool_id] = answer
        self._log.info(
            "wish_answered",
            pool_id=pool_id,
            generation=wish.generation,
            model_ref=wish.model_ref,
            error=answer.error,
            human=f"The wish for another model {'failed' if answer.error else 'is fulfilled'}.",
        )
        try:
            await engines.announce(pool_id)
        except OSError as error:
            # The supervisor writes the handoff again with the next change of its engine.
            self._log.warning("answer_not_written", pool_id=pool_id, error=str(error))
