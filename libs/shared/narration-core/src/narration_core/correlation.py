"""Which request a line belongs to: carried by the context, not by every signature."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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
    return str(uuid.uuid4())


def is_correlation_id(value: str) -> bool:
    """Tell whether a caller's id may be taken over: 1 to 128 visible ASCII characters."""
    return _VISIBLE_ASCII.fullmatch(value) is not None


def accept_correlation_id(header: str | None) -> str:
    """Take the caller's id over where it is valid, else make a new one."""
    return header if header is not None and is_correlation_id(header) else new_correlation_id()


@contextmanager
def bind_correlation(correlation_id: str, trace: TraceParent | None = None) -> Iterator[Scope]:
    """Put the id on every line logged inside, also by tasks that are started inside."""
    scope = Scope(correlation_id, trace)
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


def current_scope() -> Scope | None:
    """Tell the request that the current task works for, if any."""
    return _scope.get()


def current_correlation_id() -> str | None:
    """Tell the id of the request that the current task works for, if any."""
    scope = _scope.get()
    return None if scope is None else scope.correlation_id
