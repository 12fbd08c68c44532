"""Which request a line belongs to: carried by the context, not by every signature."""

import os
import re
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from itertools import count
from typing import Self

from narration_core.traceparent import TraceParent

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(slots=True, eq=False)
class Scope:
    """The request in whose name the current task runs; what is done in its block is done for it."""

    correlation_id: str
    trace: TraceParent | None = None
    _token: Token["Scope | None"] | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        self._token = _scope.set(self)
        return self

    def __exit__(self, *_error: object) -> None:
        token, self._token = self._token, None  # It would keep the context of the block alive.
        if token is not None:
            _scope.reset(token)


_scope: ContextVar[Scope | None] = ContextVar("narration_scope", default=None)

bind_correlation = Scope
"""Puts an id on every line logged in its block, also by tasks that are started there."""


class _Series:
    """UUIDs that no other process has: of chance but for the last part, which counts.

    Every request wants one, and a random number for each takes several times as long.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start a series, as each process must."""
        text = os.urandom(16).hex()
        variant = "89ab"[int(text[16], 16) & 3]
        self.prefix = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-"
        self.numbers = count(int(text[21:], 16))


_series = _Series()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_series.begin)


def new_correlation_id() -> str:
    """Make an id for a request that brought none."""
    return f"{_series.prefix}{next(_series.numbers):012x}"


def is_correlation_id(value: str) -> bool:
    """Tell whether a caller's id may be taken over: 1 to 128 visible ASCII characters."""
    return _VISIBLE_ASCII.fullmatch(value) is not None


def accept_correlation_id(header: str | None) -> str:
    """Take the caller's id over where it is valid, else make a new one."""
    return header if header is not None and is_correlation_id(header) else new_correlation_id()


def current_scope() -> Scope | None:
    """Tell the request that the current task works for, if any."""
    return _scope.get()


def current_correlation_id() -> str | None:
    """Tell the id of the request that the current task works for, if any."""
    scope = _scope.get()
    return None if scope is None else scope.correlation_id
