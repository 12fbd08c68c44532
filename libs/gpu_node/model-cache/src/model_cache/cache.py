"""The cache as a service: stages in the background, evicts by the ledger."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeAlias

from model_cache import pages
from model_cache.errors import CacheTooSmall, NotStaged
from model_cache.ledger import room_for
from model_cache.ports import CacheObserver
from model_cache.types import CacheStatus, Method, Stage, StagedModel

log = logging.getLogger(__name__)


def monotonic_ms() -> int:
    """Return the clock of least recent use."""
    return time.monotonic_ns() // 1_000_000


def default_budget_bytes() -> int:
    """Return half of the RAM that is free now."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024 // 2
    return 0


_Mappings: TypeAlias = tuple[pages.Mapping, ...]


class _Stopped(Exception):
    """The staging is not wanted any more."""


class ModelCache:
    """Models in host RAM, before or after they are in VRAM; made by `running`.

    All methods belong to the event loop that runs it; none of them waits for the disk.
    """

    def __init__(
        self,
        budget_bytes: int,
        *,
        observer: CacheObserver | None,
        may_lock: bool,
        now_ms: Callable[[], int],
    ) -> None:
        self._budget_bytes = budget_bytes
        self._observer = observer
        self._may_lock = may_lock
        self._now_ms = now_ms
        self._models: dict[str, StagedModel] = {}
        self._locked: dict[str, _Mappings] = {}
        self._stops: dict[str, threading.Event] = {}
        self._settled: dict[str, asyncio.Event] = {}
        self._reading = asyncio.Semaphore(1)
        self._hits = self._misses = self._evictions = 0
        self._tasks: asyncio.TaskGroup

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        budget_bytes: int | None = None,
        *,
        observer: CacheObserver | None = None,
        may_lock: bool = True,
        now_ms: Callable[[], int] = monotonic_ms,
    ) -> AsyncIterator[Self]:
        """Keep the cache open; on leaving, staging stops and every lock is dropped.

        Without a budget it is half of the RAM that is free now. Without `may_lock` files are only
        read, so that the kernel may take their memory back.
        """
        self = cls(
            default_budget_bytes() if budget_bytes is None else budget_bytes,
            observer=observer,
            may_lock=may_lock,
            now_ms=now_ms,
        )
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                yield self
            finally:
                for stop in self._stops.values():
                    stop.set()
        for mappings in self._locked.values():
            await asyncio.to_thread(_close, mappings)

    def stage(
        self, model_id: str, path: Path, *, files: Sequence[Path] = (), pinned: bool = False
    ) -> StagedModel:
        """Begin to bring a model into RAM, unless it is there; evicts what was used least recently.

        `files` are all of them where it has several, and `path` is what an engine is given. Raises
        OSError when there is no such file, and `CacheTooSmall` when it cannot fit.
        """
        paths = tuple(files)
        size_bytes = sum(each.stat().st_size for each in paths or (path,))
        known = self._models.get(model_id)
        same = known is not None and (known.path, known.files) == (path, paths)
        if known is not None and same and known.stage is not Stage.FAILED:
            return self._put(replace(known, pinned=pinned, last_used_ms=self._now_ms()))
        if known is not None:
            self._drop(model_id)
        room = room_for(self._models.values(), size_bytes, self._budget_bytes)
        if room.lacking_bytes:
            raise CacheTooSmall(
                f"model {model_id!r} of {size_bytes} bytes lacks {room.lacking_bytes} bytes in a "
                f"cache of {self._budget_bytes}: the rest is pinned or being staged"
            )
        for leaving in room.evict:
            self._evictions += 1
            self._drop(leaving)
            if self._observer:
                self._observer.evicted(leaving)
        model = self._put(
            StagedModel(
                model_id,
                path,
                size_bytes,
                pinned=pinned,
                last_used_ms=self._now_ms(),
                files=paths,
            )
        )
        self._stops[model_id] = stop = threading.Event()
        self._settled[model_id] = asyncio.Event()
        self._tasks.create_task(self._bring(model, stop), name=f"stage {model_id}")
        return model

    def unstage(self, model_id: str) -> None:
        """Let a model go, also a pinned one; raises `NotStaged`."""
        self.get(model_id)
        self._drop(model_id)

    def get(self, model_id: str) -> StagedModel:
        """Return what is known of a model; raises `NotStaged`."""
        try:
            return self._models[model_id]
        except KeyError:
            known = ", ".join(self._models) or "none"
            raise NotStaged(f"model {model_id!r} is not staged; staged are: {known}") from None

    def status(self) -> CacheStatus:
        """Return the cache at this moment."""
        return CacheStatus(
            budget_bytes=self._budget_bytes,
            used_bytes=self._used_bytes,
            hits=self._hits,
            misses=self._misses,
            evictions=self._evictions,
            models=tuple(self._models.values()),
        )

    def hit(self, path: Path) -> bool:
        """Note that a file is about to be loaded; whether it is staged, which is counted."""
        for model in self._models.values():
            if model.path == path and model.stage is Stage.STAGED:
                self._hits += 1
                self._put(replace(model, last_used_ms=self._now_ms()))
                if self._observer:
                    self._observer.hit(model.model_id)
                return True
        self._misses += 1
        if self._observer:
            self._observer.missed(str(path))
        return False

    async def settled(self, model_id: str) -> StagedModel:
        """Wait until a model is staged, or has failed to be; raises `NotStaged`."""
        self.get(model_id)
        await self._settled[model_id].wait()
        return self.get(model_id)

    @property
    def _used_bytes(self) -> int:
        held = (model for model in self._models.values() if model.stage is not Stage.FAILED)
        return sum(model.size_bytes for model in held)

    async def _bring(self, model: StagedModel, stop: threading.Event) -> None:
        loop, model_id = asyncio.get_running_loop(), model.model_id

        def on_chunk(done_bytes: int) -> None:
            if stop.is_set():
                raise _Stopped
            loop.call_soon_threadsafe(self._progress, model_id, stop, done_bytes)

        mappings: _Mappings | None = None
        why_not_locked, error = "locking is switched off", None
        try:
            # One after the other: a disk reads two files at once more slowly than in turn.
            async with self._reading:
                if self._may_lock:
                    mappings, why_not_locked = await asyncio.to_thread(
                        _lock, model.all_files, on_chunk
                    )
                if mappings is None:
                    await asyncio.to_thread(_read_through, model.all_files, on_chunk)
        except _Stopped:
            return
        except OSError as failure:
            error = str(failure)
        if self._stops.get(model_id) is not stop:
            await asyncio.to_thread(_close, mappings or ())
            return
        if mappings is not None:
            self._locked[model_id] = mappings
        known = self._models[model_id]
        if error is not None:
            log.warning("model %s is not staged: %s", model_id, error)
            self._put(replace(known, stage=Stage.FAILED, error=error))
        else:
            method = Method.PREREAD if mappings is None else Method.LOCKED
            log.info("model %s is staged (%s)", model_id, method)
            self._put(
                replace(
                    known,
                    stage=Stage.STAGED,
                    done_bytes=known.size_bytes,
                    method=method,
                    why_not_locked=why_not_locked or None,
                )
            )
        self._settled[model_id].set()

    def _progress(self, model_id: str, stop: threading.Event, done_bytes: int) -> None:
        # A word of an earlier staging of the same model comes too late.
        if self._stops.get(model_id) is stop and self._models[model_id].stage is Stage.STAGING:
            self._put(replace(self._models[model_id], done_bytes=done_bytes))

    def _put(self, model: StagedModel) -> StagedModel:
        known = self._models.get(model.model_id)
        self._models[model.model_id] = model
        if self._observer and (known is None or known.stage is not model.stage):
            self._observer.sized(self._used_bytes, self._budget_bytes)
        return model

    def _drop(self, model_id: str) -> None:
        model = self._models.pop(model_id)
        self._stops.pop(model_id).set()
        self._settled.pop(model_id).set()
        mappings = self._locked.pop(model_id, ())
        self._tasks.create_task(asyncio.to_thread(_let_go, mappings, model.all_files))
        if self._observer:
            self._observer.sized(self._used_bytes, self._budget_bytes)


def _lock(paths: Sequence[Path], on_chunk: Callable[[int], None]) -> tuple[_Mappings | None, str]:
    """Lock files in RAM; where the kernel refuses, say why instead."""
    mappings: list[pages.Mapping] = []
    try:
        for path in paths:
            before = sum(mapping.size_bytes for mapping in mappings)
            mappings.append(pages.lock(path, _after(before, on_chunk)))
    except BaseException as error:
        _close(mappings)
        if not isinstance(error, OSError):
            raise
        return None, f"the kernel does not let us lock it ({error.strerror}; see RLIMIT_MEMLOCK)"
    return tuple(mappings), ""


def _read_through(paths: Sequence[Path], on_chunk: Callable[[int], None]) -> None:
    before = 0
    for path in paths:
        pages.read_through(path, _after(before, on_chunk))
        before += path.stat().st_size


def _after(before_bytes: int, on_chunk: Callable[[int], None]) -> Callable[[int], None]:
    """Count on from the files before."""
    return lambda done_bytes: on_chunk(before_bytes + done_bytes)


def _close(mappings: Iterable[pages.Mapping]) -> None:
    for mapping in mappings:
        mapping.close()


def _let_go(mappings: Iterable[pages.Mapping], paths: Iterable[Path]) -> None:
    """Unlock files and tell the kernel that nobody needs their pages."""
    _close(mappings)
    for path in paths:
        pages.forget(path)
