"""What the policy deletes from this disk: told before, done when asked for or now and then."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from api_types import ApiError, GcDecisionView, GcPlanView, GcRunView, GcStepView
from catalog_core import Catalog, CatalogGcPolicy, GcPlan, GcResult, prepare_gc, run_gc
from model_keeper.needs import Needs
from narration_core import get_logger

USES_INTERVAL_S = 600.0
"""How often it is noted which models are in use: days are what a policy counts in."""


class GarbageCollector:
    """The `ModelCollector` of this disk; `run_every` and `note_uses` are loops."""

    def __init__(
        self,
        node_id: str,
        catalog: Catalog,
        needs: Needs,
        policy: CatalogGcPolicy,
        *,
        models_dir: Path,
        changed: Callable[[], Awaitable[None]],
        freed: Callable[[int], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._node_id = node_id
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
                    node_id=self._node_id,
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
                    node_id=self._node_id,
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
