"""What may be done to the models of this disk: retire, delete, verify, pin, collect."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from api_types import (
    ApiError,
    ErrorCode,
    GcDecisionView,
    GcPlanView,
    GcRunView,
    GcStepView,
    ModelView,
    VerificationView,
)
from catalog_core import (
    Catalog,
    CatalogGcPolicy,
    DeleteRetired,
    GcOutcome,
    GcPlan,
    GcResult,
    KeepPinned,
    KeepRecentlyUsed,
    ModelEntry,
    ModelState,
    prepare_gc,
    purge,
    run_gc,
)
from narration_core import get_logger
from orchestratord.config import Settings
from orchestratord.home.needs import Needs

USES_INTERVAL_S = 600.0
"""How often it is noted which models are in use: days are what a policy counts in."""


def policy_of(settings: Settings) -> CatalogGcPolicy:
    """Return the policy of the settings.

    Active is no reason to keep a model: else no limit of the disk could ever have an effect.
    """
    return CatalogGcPolicy(
        max_disk_usage_percent=settings.gc_max_disk_usage_percent,
        min_free_gb=settings.gc_min_free_gb,
        retention_rules=(
            KeepPinned(),
            KeepRecentlyUsed(days=settings.gc_recent_days),
            DeleteRetired(after_days=settings.gc_retired_after_days),
        ),
    )


class CatalogKeeper:
    """The `ModelKeeper` of a machine with a catalog of its own."""

    def __init__(
        self,
        catalog: Catalog,
        needs: Needs,
        *,
        view: Callable[[ModelEntry], ModelView],
        changed: Callable[[], Awaitable[None]],
        now_ms: Callable[[], int],
    ) -> None:
        self._catalog = catalog
        self._needs = needs
        self._view = view
        self._changed = changed
        self._now_ms = now_ms

    async def retire(self, model_id: str) -> ModelView:
        """Offer it no longer. Raises ApiError."""
        needs, now_ms = self._needs.asker(), self._now_ms()

        def retire() -> ModelEntry:
            self._catalog.get(model_id)
            if (holder := needs().get(model_id)) is not None:
                raise _in_use(model_id, holder)
            return self._catalog.retire(model_id, now_ms=now_ms)

        return await self._told(await asyncio.to_thread(retire))

    async def purge(self, model_id: str) -> None:
        """Delete it now. Raises ApiError."""
        needs = self._needs.asker()
        step = await asyncio.to_thread(purge, self._catalog, model_id, in_use=needs)
        await self._changed()
        if step.outcome is GcOutcome.IN_USE:
            raise _in_use(model_id, step.explanation)
        if step.outcome is not GcOutcome.DELETED:
            raise ApiError(
                ErrorCode.MODEL_IN_USE, f"model {model_id!r}: {step.explanation}", retriable=True
            )
        get_logger(component="models").info(
            "model_purged", model_id=model_id, freed_bytes=step.freed_bytes
        )

    async def verify(self, model_id: str) -> VerificationView:
        """Read all its files; whoever leaves stops the reading. Raises ApiError."""
        left = False

        def check(_done_bytes: int) -> None:
            if left:
                raise InterruptedError

        try:
            found = await asyncio.to_thread(
                self._catalog.verify, model_id, on_chunk=check, now_ms=self._now_ms()
            )
        finally:
            left = True
        return VerificationView(
            model_id=model_id,
            verdict=found.verdict.value,
            expected=found.expected,
            found=found.found,
            bad_files=tuple(path.name for path in found.bad_paths),
        )

    async def set_state(self, model_id: str, state: str) -> ModelView:
        """Make it Active or Retired. Raises ApiError."""
        entry = await asyncio.to_thread(
            self._catalog.set_state, model_id, ModelState(state), now_ms=self._now_ms()
        )
        return await self._told(entry)

    async def pin(self, model_id: str, *, pinned: bool) -> ModelView:
        """Keep it from being deleted, or no longer. Raises ApiError."""
        return await self._told(await asyncio.to_thread(self._catalog.pin, model_id, pinned=pinned))

    async def _told(self, entry: ModelEntry) -> ModelView:
        await self._changed()
        return self._view(entry)


class GarbageCollector:
    """The `Collector` of a machine with a catalog of its own; `run_every` is a loop."""

    def __init__(
        self,
        catalog: Catalog,
        needs: Needs,
        policy: CatalogGcPolicy,
        *,
        models_dir: Path,
        changed: Callable[[], Awaitable[None]],
        freed: Callable[[int], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._catalog = catalog
        self._needs = needs
        self._policy = policy
        self._models_dir = models_dir
        self._changed = changed
        self._freed = freed
        self._now_ms = now_ms
        self._log = get_logger(component="models")

    async def plan(self) -> GcPlanView:
        """Return what would be done now. Raises ApiError."""
        needs, now_ms = self._needs.asker(), self._now_ms()
        plan = await asyncio.to_thread(self._prepare, needs, now_ms)
        return GcPlanView(
            decisions=tuple(
                GcDecisionView(
                    model_id=each.model_id,
                    action=each.action.value,
                    reason=each.reason,
                    explanation=each.explanation,
                    size_bytes=each.entry.size_bytes,
                    freed_bytes=each.freed_bytes,
                )
                for each in plan.decisions
            ),
            disk_total_bytes=plan.total_bytes,
            disk_free_bytes=plan.free_bytes,
            wanted_free_bytes=plan.wanted_free_bytes,
            freed_bytes=plan.freed_bytes,
            shortfall_bytes=plan.shortfall_bytes,
        )

    async def run(self) -> GcRunView:
        """Delete what the policy allows; once begun, it is finished. Raises ApiError."""
        needs, now_ms = self._needs.asker(), self._now_ms()

        def collect() -> GcResult:
            plan = self._prepare(needs, now_ms)
            return run_gc(self._catalog, plan, in_use=needs)

        result = await asyncio.to_thread(collect)
        await self._changed()
        self._freed(result.freed_bytes)
        for step in result.steps:
            self._log.info("model_collected", **step.model_dump(mode="json"))
        return GcRunView(
            steps=tuple(
                GcStepView(
                    model_id=step.model_id,
                    outcome=step.outcome.value,
                    explanation=step.explanation,
                    freed_bytes=step.freed_bytes,
                )
                for step in result.steps
            ),
            freed_bytes=result.freed_bytes,
        )

    async def run_every(self, interval_ms: int) -> None:
        """Collect again and again; a run that fails is told, and the next one tries again."""
        while True:
            await asyncio.sleep(interval_ms / 1000)
            try:
                await self.run()
            except (ApiError, OSError) as error:
                self._log.warning("collection_failed", error=str(error))

    async def note_uses(self) -> None:
        """Note now and then which models are in use, by which a policy tells old ones."""
        while True:
            needs, now_ms = self._needs.asker(), self._now_ms()
            try:
                await asyncio.to_thread(self._touch, needs, now_ms)
            except (ApiError, OSError) as error:
                self._log.warning("uses_not_noted", error=str(error))
            await asyncio.sleep(USES_INTERVAL_S)

    def _prepare(self, needs: Callable[[], Mapping[str, str]], now_ms: int) -> GcPlan:
        self._touch(needs, now_ms)
        directory = self._models_dir if self._models_dir.is_dir() else None
        return prepare_gc(
            self._catalog, self._policy, in_use=needs, now_ms=now_ms, directory=directory
        )

    def _touch(self, needs: Callable[[], Mapping[str, str]], now_ms: int) -> None:
        known = {entry.id for entry in self._catalog.list()}
        for model_id in known & needs().keys():
            self._catalog.touch(model_id, now_ms)


def _in_use(model_id: str, holder: str) -> ApiError:
    return ApiError(ErrorCode.MODEL_IN_USE, f"model {model_id!r} is needed: {holder}")
