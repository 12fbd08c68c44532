"""What brings models to this disk: in the background, or while somebody reads along."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from api_types import ModelView, PreparationStep, PullRequest, PullView
from catalog_core import Catalog, ModelEntry, ModelRef
from http_shell import ErrorMap
from model_provisioner import FETCH_KIND, FetchSettings, ModelProvisioner, Progress
from narration_core import get_logger

FAILED_KEPT = 32
"""How many failed fetches are remembered."""

LOG_INTERVAL_S = 10.0
"""Between two lines of the log about one fetch."""

_Key = tuple[str, str | None]


class CountedProvisioner(ModelProvisioner):
    """Tells `fetched` the bytes that come, whoever asked for them."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        base: Path,
        now_ms: Callable[[], int],
        fetch: FetchSettings | None,
        fetched: Callable[[int], None],
    ) -> None:
        super().__init__(catalog, base=base, now_ms=now_ms, fetch=fetch)
        self._fetched = fetched
        self._seen_bytes: dict[str, int] = {}
        self._tell_at_s: dict[str, float] = {}
        self._log = get_logger(component="models")

    async def ensure(
        self,
        reference: str | ModelRef,
        *,
        expected_digest: str | None = None,
        on_progress: Progress | None = None,
    ) -> ModelEntry:
        """See `ModelProvisioner.ensure`."""

        def progress(step: PreparationStep) -> None:
            self._count(step)
            if on_progress is not None:
                on_progress(step)

        return await super().ensure(
            reference, expected_digest=expected_digest, on_progress=progress
        )

    def _count(self, step: PreparationStep) -> None:
        """Count what a step adds; several who wait for one fetch tell the same steps."""
        if step.kind != FETCH_KIND:
            return
        done_bytes = step.bytes_done or 0
        # What an earlier fetch had brought is there in the first step already.
        new_bytes = done_bytes - self._seen_bytes.get(step.id, done_bytes)
        self._seen_bytes[step.id] = done_bytes
        if new_bytes > 0:
            self._fetched(new_bytes)
        self._tell(step)
        if step.status != "running":
            del self._seen_bytes[step.id]

    def _tell(self, step: PreparationStep) -> None:
        """Log how far a fetch is: at its begin, then now and then, and its end."""
        now_s = asyncio.get_running_loop().time()
        if step.status == "running" and now_s < self._tell_at_s.get(step.id, 0.0):
            return
        self._tell_at_s[step.id] = now_s + LOG_INTERVAL_S
        if step.status != "running":
            del self._tell_at_s[step.id]
        self._log.info("model_fetch", **step.model_dump(mode="json", exclude_none=True))


class Pulls:
    """The `ModelFetcher` of this disk; background fetches are in `group`."""

    def __init__(
        self,
        node_id: str,
        provisioner: ModelProvisioner,
        group: asyncio.TaskGroup,
        *,
        errors: ErrorMap,
        view: Callable[[ModelEntry], ModelView],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._node_id = node_id
        self._provisioner = provisioner
        self._group = group
        self._errors = errors
        self._view = view
        self._changed = changed
        self._known: dict[_Key, PullView] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = get_logger(component="models")

    async def start(self, request: PullRequest, correlation_id: str) -> PullView:
        """Fetch in the background, unless that is under way. Raises ApiError."""
        ModelRef.parse(request.reference)
        key = (request.reference, request.digest)
        known = self._known.pop(key, None)
        if known is None or known.state != "running":
            known = PullView(reference=request.reference, node_id=self._node_id, state="running")
            task = self._group.create_task(self._fetch(key, correlation_id), name="pull")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._known[key] = known
        return known

    async def follow(
        self, request: PullRequest
    ) -> AsyncGenerator[PreparationStep | ModelView, None]:
        """Fetch, and tell the steps; the model is last. Raises ApiError."""
        ModelRef.parse(request.reference)
        pull = self._provisioner.pull(request.reference, expected_digest=request.digest)
        async with aclosing(pull) as steps:
            async for step in steps:
                if isinstance(step, ModelEntry):
                    await self._changed()
                    yield self._view(step)
                else:
                    yield step

    def pulls(self) -> tuple[PullView, ...]:
        """Return what is fetched in the background, and what failed."""
        return tuple(self._known.values())

    def stop(self) -> None:
        """End the background fetches; the next ones go on with what has arrived."""
        for task in self._tasks:
            task.cancel()

    async def _fetch(self, key: _Key, correlation_id: str) -> None:
        reference, digest = key

        def progress(step: PreparationStep) -> None:
            self._known[key] = self._known[key].model_copy(update={"step": step})

        try:
            entry = await self._provisioner.ensure(
                reference, expected_digest=digest, on_progress=progress
            )
            await self._changed()
        except Exception as error:  # noqa: BLE001 - whoever asks for the list is told
            told = self._errors.error_of(error)
            update = {"state": "failed", "error": told.body(correlation_id)}
            self._known[key] = self._known[key].model_copy(update=update)
            self._log.warning("pull_failed", reference=reference, code=told.code, error=str(told))
            self._forget_oldest()
        else:
            del self._known[key]
            self._log.info(
                "pull_done", reference=reference, model_id=entry.id, size_bytes=entry.size_bytes
            )

    def _forget_oldest(self) -> None:
        failed = [key for key, pull in self._known.items() if pull.state == "failed"]
        for key in failed[:-FAILED_KEPT]:
            del self._known[key]
