"""Files that are on disk only, and an observer that remembers."""

import os
from pathlib import Path

from model_cache.pages import forget

_BLOCK = 1 << 20


class CountingObserver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.misses: list[str] = []
        self.evictions: list[str] = []
        self.used_bytes = 0
        self.budget_bytes = 0

    def hit(self, model_id: str) -> None:
        """See `CacheObserver.hit`."""
        self.hits.append(model_id)

    def missed(self, path: str) -> None:
        """See `CacheObserver.missed`."""
        self.misses.append(path)

    def evicted(self, model_id: str) -> None:
        """See `CacheObserver.evicted`."""
        self.evictions.append(model_id)

    def sized(self, used_bytes: int, budget_bytes: int) -> None:
        """See `CacheObserver.sized`."""
        self.used_bytes, self.budget_bytes = used_bytes, budget_bytes


def cold_file(path: Path, size_bytes: int) -> Path:
    """Write a file that is really on the disk, and in no memory."""
    with path.open("wb") as file:
        for _ in range(size_bytes // _BLOCK):
            file.write(os.urandom(_BLOCK))
        file.write(os.urandom(size_bytes % _BLOCK))
        file.flush()
        os.fsync(file.fileno())
    forget(path)
    return path
