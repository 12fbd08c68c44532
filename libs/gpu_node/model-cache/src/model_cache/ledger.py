"""Which models are in RAM and which must go: pure, time comes as data."""

from collections.abc import Iterable
from dataclasses import dataclass

from model_cache.types import Stage, StagedModel


@dataclass(frozen=True, slots=True)
class Room:
    """What has to leave before a model may come; `lacking_bytes` when that is not enough."""

    evict: tuple[str, ...] = ()
    lacking_bytes: int = 0


def room_for(models: Iterable[StagedModel], size_bytes: int, budget_bytes: int) -> Room:
    """Return the least recently used models that make room; pinned and growing ones never go.

    Nothing is evicted in vain: where it would not be enough, nobody has to leave.
    """
    held = [model for model in models if model.stage is not Stage.FAILED]
    missing = sum(model.size_bytes for model in held) + size_bytes - budget_bytes
    leaving: list[str] = []
    for model in sorted(held, key=lambda model: (model.last_used_ms, model.model_id)):
        if missing <= 0:
            break
        if model.pinned or model.stage is Stage.STAGING:
            continue
        leaving.append(model.model_id)
        missing -= model.size_bytes
    return Room((), missing) if missing > 0 else Room(tuple(leaving))


def check_invariants(models: Iterable[StagedModel], budget_bytes: int) -> None:
    """Raise when more is held than the budget allows, or a record contradicts itself."""
    held = [model for model in models if model.stage is not Stage.FAILED]
    used = sum(model.size_bytes for model in held)
    if used > budget_bytes:
        raise AssertionError(f"{used} bytes are held, the budget is {budget_bytes}")
    for model in held:
        if model.stage is Stage.STAGED and model.done_bytes != model.size_bytes:
            raise AssertionError(f"staged, but not whole: {model}")
