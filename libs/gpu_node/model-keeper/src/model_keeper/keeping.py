"""What may be done to one model of this disk: retired, deleted, verified, pinned."""

import asyncio
from collections.abc import Awaitable, Callable

from api_types import ApiError, ErrorCode, ModelView, VerificationView
from catalog_core import Catalog, GcOutcome, ModelEntry, ModelState, purge
from model_keeper.needs import Needs
from narration_core import get_logger


class CatalogKeeper:
    """The `ModelKeeper` of this disk."""

    def __init__(
        self,
        node_id: str,
        catalog: Catalog,
        needs: Needs,
        *,
        view: Callable[[ModelEntry], ModelView],
        changed: Callable[[], Awaitable[None]],
        now_ms: Callable[[], int],
    ) -> None:
        self._node_id = node_id
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
                raise in_use(model_id, holder)
            return self._catalog.retire(model_id, now_ms=now_ms)

        return await self._told(await asyncio.to_thread(retire))

    async def purge(self, model_id: str, *, besides: str | None = None) -> None:
        """Delete it now, whether the pool `besides` needs it or not. Raises ApiError."""
        needs = self._needs.asker(besides=besides)
        step = await asyncio.to_thread(purge, self._catalog, model_id, in_use=needs)
        await self._changed()
        if step.outcome is GcOutcome.IN_USE:
            raise in_use(model_id, step.explanation)
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
            node_id=self._node_id,
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


def in_use(model_id: str, holder: str) -> ApiError:
    """Return the refusal of what would take a model from whoever needs it."""
    return ApiError(ErrorCode.MODEL_IN_USE, f"model {model_id!r} is needed: {holder}")
