"""Models that tasks name by where they can be fetched, and that are not on this disk yet.

Such a task waits like one for any model that a pool may load. The fetch begins when the first one
waits, not when one is refused, and goes on when the last one is canceled: somebody asked for the
model, and the next one finds it here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from api_types import PreparationStep
from catalog_core import ModelRef, ModelReferenceError, RefScheme, derive_model_id
from model_provisioner import FETCH_KIND, FetchSettings, Progress
from narration_core import get_logger
from pool_registry_types import LoadFailure

REST_MS = 10_000
"""How long a fetch that has failed is not tried again; its tasks are told why meanwhile."""
WANTED_AT_MOST = 64
"""Of what nobody waits for the oldest goes."""

Bring: TypeAlias = Callable[[str, Progress], Awaitable[str]]
"""Brings a reference to this disk and makes it known; returns the id that it got."""


@dataclass(slots=True)
class _Wanted:
    reference: str
    step: PreparationStep
    under_way: asyncio.Task[None] | None = None
    failure: str | None = None
    failed_ms: int = 0


class WantedModels:
    """What could be fetched for tasks; `fetch` is None where a task starts no fetch."""

    def __init__(self, fetch: FetchSettings | None, *, now_ms: Callable[[], int]) -> None:
        self._fetch = fetch
        self._now_ms = now_ms
        self._wanted: dict[str, _Wanted] = {}
        self._group: asyncio.TaskGroup | None = None
        self._bring: Bring | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called when other models than before are offered, or one could not be fetched."""

    @property
    def any(self) -> bool:
        """Whether anything is wanted, or was and could not be fetched."""
        return bool(self._wanted)

    def begin(self, group: asyncio.TaskGroup, bring: Bring) -> None:
        """Fetch from now on, in the background of a group."""
        self._group, self._bring = group, bring

    def stop(self) -> None:
        """End the fetches; the next ones go on with what has arrived."""
        for wanted in self._wanted.values():
            if wanted.under_way is not None:
                wanted.under_way.cancel()

    def claim(self, model_ref: str, *, taken: Iterable[str]) -> str | None:
        """Return the id that a reference will have once it is here; None: it is none to fetch.

        `taken` are the ids of the catalog. Raises NetworkRefusedError.
        """
        reference = fetchable(model_ref)
        if self._fetch is None or reference is None:
            return None
        for model_id, wanted in self._wanted.items():
            if wanted.reference == str(reference):
                return model_id
        self._require_permission(self._fetch, reference)
        self._make_room()
        model_id = derive_model_id(reference.name, {*taken, *self._wanted})
        step = PreparationStep(
            id="fetch", kind=FETCH_KIND, description=f"Fetch {reference}", status="pending"
        )
        self._wanted[model_id] = _Wanted(str(reference), step)
        self.changed()
        return model_id

    def demanded(self, model_ids: Collection[str]) -> None:
        """Begin to fetch those that are wanted, since tasks wait for them now."""
        if self._group is None:
            return
        self._forgive()
        for model_id in model_ids:
            wanted = self._wanted.get(model_id)
            if wanted is not None and wanted.under_way is None and wanted.failure is None:
                fetching = self._fetched(model_id, wanted)
                wanted.under_way = self._group.create_task(fetching, name=f"fetch of {model_id}")

    def offered(self) -> tuple[str, ...]:
        """Return the models that a pool may load once they are here."""
        self._forgive()
        return tuple(
            model_id for model_id, wanted in self._wanted.items() if wanted.failure is None
        )

    def failures(self) -> tuple[LoadFailure, ...]:
        """Return what could not be fetched a moment ago."""
        self._forgive()
        now_ms = self._now_ms()
        return tuple(
            LoadFailure(
                model_id=model_id,
                reason=wanted.failure,
                retry_ms=max(0, wanted.failed_ms + REST_MS - now_ms),
            )
            for model_id, wanted in self._wanted.items()
            if wanted.failure is not None
        )

    def step(self, model_id: str) -> PreparationStep | None:
        """Return how far a fetch is; None where there is none to wait for."""
        wanted = self._wanted.get(model_id)
        return None if wanted is None else wanted.step

    async def _fetched(self, model_id: str, wanted: _Wanted) -> None:
        assert self._bring is not None  # set with the group
        log = get_logger(component="models")

        def progress(step: PreparationStep) -> None:
            wanted.step = step.model_copy(update={"id": "fetch"})

        log.info("model_wanted", model_id=model_id, reference=wanted.reference)
        try:
            got_id = await self._bring(wanted.reference, progress)
            if got_id != model_id:
                wanted.failure = f"it is here as {got_id!r} now: ask for it by that name"
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            wanted.failure = str(error) or type(error).__name__
        wanted.under_way = None
        if wanted.failure is None:
            del self._wanted[model_id]
        else:
            wanted.failed_ms = self._now_ms()
            log.warning("wanted_model_failed", reference=wanted.reference, error=wanted.failure)
        self.changed()

    def _forgive(self) -> None:
        """Let what has failed long enough ago be tried again."""
        now_ms = self._now_ms()
        for wanted in self._wanted.values():
            if wanted.failure is not None and now_ms - wanted.failed_ms >= REST_MS:
                wanted.failure = None
                wanted.step = wanted.step.model_copy(update={"status": "pending"})

    def _make_room(self) -> None:
        idle = [name for name, wanted in self._wanted.items() if wanted.under_way is None]
        for model_id in idle[: max(0, len(self._wanted) - WANTED_AT_MOST + 1)]:
            del self._wanted[model_id]

    def _require_permission(self, fetch: FetchSettings, reference: ModelRef) -> None:
        """Refuse at once what is known to be refused; other hosts are looked at on the way."""
        match reference.scheme:
            case RefScheme.HTTP | RefScheme.HTTPS:
                fetch.policy.require(str(reference))
            case RefScheme.HF:
                fetch.policy.require(fetch.hub_endpoint)


def fetchable(model_ref: str) -> ModelRef | None:
    """Return what a name means if it is the reference of a model elsewhere."""
    try:
        reference = ModelRef.parse(model_ref)
    except ModelReferenceError:
        return None
    return None if reference.scheme is RefScheme.FILE else reference
