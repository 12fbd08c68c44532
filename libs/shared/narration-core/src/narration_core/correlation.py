"""Which request a line belongs to: carried by the context, not by every signature."""

import os
import re
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

from narration_core.traceparent import TraceParent

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Scope:
    """The request in whose name the current task runs."""

    correlation_id: str
    trace: TraceParent | None = None


_scope: ContextVar[Scope | None] = ContextVar("narration_scope", default=None)


def new_correlation_id() -> str:
    """Make an id for a request that brought none."""
    # A random UUID: `uuid.uuid4` takes several times as long, and every request wants one.
    text = os.urandom(16).hex()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def is_correlation_id(value: str) -> bool:
    """Tell whether a caller's id may be taken over: 1 to 128 visible ASCII characters."""
    return _VISIBLE_ASCII.fullmatch(value) is not None


def accept_correlation_id(header: str | None) -> str:
    """Take the caller's id over where it is valid, else make a new one."""
    return header if header is not None and is_correlation_id(header) else new_correlation_id()


def bind_correlation(
    correlation_id: str, trace: TraceParent | None = None
) -> AbstractContextManager[Scope]:
    """Put the id on every line logged inside, also by tasks that are started inside."""
    return _Binding(Scope(correlation_id, trace))


class _Binding:
    """A block around each request: no generator, which costs twice as much."""

    __slots__ = ("_scope", "_token")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __enter__(self) -> Scope:
        self._token = _scope.set(self._scope)
        return self._scope

    def __exit__(self, *_error: object) -> None:
        _scope.reset(self._token)


def current_scope() -> Scope | None:
    """Tell the request that the current task works for, if any."""
    return _scope.get()


def current_correlation_id() -> str | None:
    """Tell the id of the request that the current task works for, if any."""
    scope = _scope.get()
    return None if scope is None else scope.correlation_id
