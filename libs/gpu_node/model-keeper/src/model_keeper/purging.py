"""Purging a pool: its engines stop, and what it takes of the disk is deleted.

What may not be deleted is found out before anything is stopped, and looked at again at the moment
of the deletion: a task may have come to wait for a model meanwhile.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from api_types import ApiError, DrainRequest, ErrorCode, PurgeRequest
from catalog_core import ModelEntry, ModelPinnedError, ModelUnknownError
from model_keeper.keeping import CatalogKeeper, in_use
from model_keeper.needs import Needs
from narration_core import get_logger
from pool_registry_types import PoolSnapshot

DRAIN_MS = DrainRequest().deadline_ms
"""Running tasks get as long as in a drain for which nothing else is said."""


class Outcome(Protocol):
    """How the stop of a pool's engines ended."""

    @property
    def error(self) -> str | None:
        """Why they did not stop."""
        ...


class RestingPools(Protocol):
    """The pools of this machine, as a purge needs them; calls may raise a pool error."""

    def snapshot(self, pool_id: str) -> PoolSnapshot:
        """Return how one pool is."""
        ...

    def snapshots(self) -> tuple[PoolSnapshot, ...]:
        """Return how every pool is."""
        ...

    def model_refs(self) -> Mapping[str, tuple[str, ...]]:
        """Return by pool what it loads, changes to, or is set up for."""
        ...

    def builds(self, pool_id: str) -> frozenset[Path]:
        """Return the folders that were provided for its engines."""
        ...

    def rest(self, pool_id: str, *, drain_ms: int) -> Awaitable[Outcome]:
        """Begin to stop its engines, until somebody asks for them."""
        ...

    def wake(self, pool_id: str) -> None:
        """End the rest if tasks wait."""
        ...

    def note(self, pool_id: str, trouble: str) -> None:
        """Show what was not done as the last error of the pool."""
        ...


class PoolPurger:
    """Purges pools of this machine, each in the background of `group`."""

    def __init__(
        self,
        pools: RestingPools,
        needs: Needs,
        keeper: CatalogKeeper,
        group: asyncio.TaskGroup,
        *,
        unstage: Callable[[str], Awaitable[None]],
    ) -> None:
        """`unstage` lets the copy of a model in RAM go; ApiError where there is none."""
        self._pools = pools
        self._needs = needs
        self._keeper = keeper
        self._group = group
        self._unstage = unstage
        self._running: dict[str, asyncio.Task[None]] = {}
        self._log = get_logger(component="pools")

    async def begin(self, pool_id: str, request: PurgeRequest) -> None:
        """Check, have the engines stop, and delete then. Raises ApiError and pool errors."""
        running = self._pools.snapshot(pool_id).active_leases
        if pool_id in self._running:
            raise ApiError(ErrorCode.POOL_BUSY, f"pool {pool_id!r} is being purged", retriable=True)
        if running and not (request.drain_first or request.force):
            raise ApiError(
                ErrorCode.POOL_BUSY,
                f"{running} tasks run in pool {pool_id!r}",
                hint="drain_first lets them end, force ends them now",
                retriable=True,
            )
        references = self._pools.model_refs().get(pool_id, ())
        models = await asyncio.to_thread(self._found, references)
        if request.purge_models:
            needs = self._needs.asker(besides=pool_id)
            await asyncio.to_thread(_check, models, needs)
        drain_ms = 0 if request.force or not request.drain_first else DRAIN_MS
        resting = self._pools.rest(pool_id, drain_ms=drain_ms)
        purging = self._purge(pool_id, request, models, resting)
        task = self._group.create_task(purging, name=f"purge of {pool_id}")
        self._running[pool_id] = task
        task.add_done_callback(lambda _: self._running.pop(pool_id, None))

    def stop(self) -> None:
        """Begin no further deletion; what a deletion has begun, the next collection ends."""
        for task in self._running.values():
            task.cancel()

    async def _purge(
        self,
        pool_id: str,
        request: PurgeRequest,
        models: tuple[ModelEntry, ...],
        resting: Awaitable[Outcome],
    ) -> None:
        try:
            if (error := (await resting).error) is not None:
                self._pools.note(pool_id, f"nothing was purged: {error}")
                return
            kept = await self._delete(pool_id, request, models)
        except Exception as error:  # noqa: BLE001 - the pools of this machine serve on
            kept = [f"it broke off: {str(error) or type(error).__name__}"]
        self._log.info(
            "pool_purged",
            pool_id=pool_id,
            kept=kept,
            human=f"Pool {pool_id} was purged{': ' if kept else ''}{'; '.join(kept)}.",
        )
        self._pools.wake(pool_id)
        if kept:
            self._pools.note(pool_id, f"purged, but {'; '.join(kept)}")

    async def _delete(
        self, pool_id: str, request: PurgeRequest, models: tuple[ModelEntry, ...]
    ) -> list[str]:
        """Delete what is named; returns what was kept, and why."""
        kept: list[str] = []
        if request.delete_cache_dirs or request.purge_models:
            for model in models:
                with suppress(ApiError):  # Most have no copy.
                    await self._unstage(model.id)
        builds = self._pools.builds(pool_id)
        shared = builds & self._builds_of_others(pool_id)
        if request.delete_cache_dirs:
            for folder in builds - shared:
                folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)
        if request.purge_engine:
            kept += [f"{folder} stays: other pools run from it" for folder in sorted(shared)]
            for folder in sorted(builds - shared):
                kept += await _delete_build(folder)
        if request.purge_models:
            kept += await self._purge_models(pool_id, models)
        return kept

    def _builds_of_others(self, pool_id: str) -> frozenset[Path]:
        others = (pool.pool_id for pool in self._pools.snapshots() if pool.pool_id != pool_id)
        return frozenset().union(*(self._pools.builds(other) for other in others))

    async def _purge_models(self, pool_id: str, models: tuple[ModelEntry, ...]) -> list[str]:
        kept = []
        for model in models:
            try:
                await self._keeper.purge(model.id, besides=pool_id)
            except ModelUnknownError:
                continue  # Somebody else has deleted it.
            except (ApiError, OSError) as error:
                kept.append(f"model {model.id!r} stays: {error}")
        return kept

    def _found(self, references: tuple[str, ...]) -> tuple[ModelEntry, ...]:
        located = map(self._needs.entry_of, references)
        return tuple({entry.id: entry for entry in located if entry is not None}.values())


def _check(models: tuple[ModelEntry, ...], needs: Callable[[], Mapping[str, str]]) -> None:
    """Refuse while one of them has to stay. Raises ApiError."""
    holders = needs()
    for model in models:
        if model.pinned:
            raise ModelPinnedError(model.id)
        if (holder := holders.get(model.id)) is not None:
            raise in_use(model.id, holder)


async def _delete_build(folder: Path) -> list[str]:
    """Delete a build; return what is wrong, if it stays."""

    def delete() -> None:
        # Its mark goes first: what is half deleted is no build.
        for mark in ("built", "made", "fetched"):
            (folder / mark).unlink(missing_ok=True)
        shutil.rmtree(folder)

    try:
        await asyncio.to_thread(delete)
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{folder} could not be deleted: {error.strerror}"]
    return []
