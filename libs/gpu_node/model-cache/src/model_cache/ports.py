"""What this library tells others."""

from typing import Protocol


class CacheObserver(Protocol):
    """Counts what happens; each call is cheap and raises nothing."""

    def hit(self, model_id: str) -> None:
        """A load found its model in RAM."""
        ...

    def missed(self, path: str) -> None:
        """A load found its model on disk only."""
        ...

    def evicted(self, model_id: str) -> None:
        """A model had to make room for another one."""
        ...

    def sized(self, used_bytes: int, budget_bytes: int) -> None:
        """The memory in use has changed."""
        ...
