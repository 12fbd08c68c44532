"""A task as its prefix sees it: blocks of its prompt, each named by all that comes before it."""

from dataclasses import dataclass

BLOCK_CHARS = 256
"""Shorter prefixes than this are read quicker than they are looked for."""
MAX_BLOCKS = 256
"""What of a prompt lies behind so many blocks counts as not cached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a task is to a scorer."""

    model_id: str
    chars: int
    """Of the prompt."""
    blocks: tuple[int, ...] = ()
    """Equal up to where two prompts differ."""
    reuses: bool = True
    """Whether the task takes from a cache; what it leaves there is of use to others in any case."""
    tokens_out: int | None = None
    """How long its answer is expected to be; None: as long as usual."""
    max_tokens: int | None = None


def blocks_of(text: str) -> tuple[int, ...]:
    """Name the whole blocks of a text, the first of them at most.

    The names hold within this process: their hash is seeded, so that nobody can choose a text
    that has the name of another one.
    """
    names, name = [], 0
    for end in range(BLOCK_CHARS, min(len(text), MAX_BLOCKS * BLOCK_CHARS) + 1, BLOCK_CHARS):
        name = hash((name, text[end - BLOCK_CHARS : end]))
        names.append(name)
    return tuple(names)
