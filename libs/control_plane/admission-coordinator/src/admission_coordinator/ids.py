"""Ids of tasks: random UUIDs, written as text without the detour over a `UUID`."""

from os import urandom

_VARIANTS = "89ab"


def new_task_id() -> str:
    """Make an id, in the form of a version 4 UUID."""
    drawn = urandom(16)
    text = drawn.hex()
    variant = _VARIANTS[drawn[8] >> 6]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
