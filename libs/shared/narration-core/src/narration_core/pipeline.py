"""From a logged event to one line of text, whatever was logged."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from narration_core.correlation import current_scope
from narration_core.redaction import redact
from narration_core.settings import LogSettings

_LEVEL_NAMES = {"warn": "warning", "exception": "error", "fatal": "critical", "err": "error"}
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROL_IN_BLOCK = {code: text for code, text in _CONTROL.items() if code not in (9, 10)}
_encode_fast = msgspec.json.Encoder().encode
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def timestamp() -> str:
    """Tell the time of a line, in UTC and to the millisecond."""
    return time_text(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)
def time_text(unix_ms: int) -> str:
    """Write a time as it stands in lines; many lines are told in the same millisecond."""
    return f"{_second(unix_ms // 1000)}.{unix_ms % 1000:03}+00:00"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def place(settings: LogSettings) -> dict[str, str]:
    """Return who logs: it stands on every line."""
    return {
        "service": settings.service,
        "node_id": settings.node_id,
        "machine_id": settings.machine_id,
    }


def frame(settings: LogSettings) -> Processor:
    """Make the processor that puts the fields of the contract around the caller's own."""
    who = place(settings)

    def add_frame(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        scope = current_scope()
        framed: dict[str, Any] = {
            "timestamp": timestamp(),
            "level": _LEVEL_NAMES.get(method, method),
            "event": event.pop("event", ""),
            **who,
            "correlation_id": scope.correlation_id if scope else None,
        }
        if scope is not None and scope.trace is not None:
            framed["trace_id"] = scope.trace.trace_id
        # A caller may name another node or request, and never overwrites when and how.
        for key in ("timestamp", "level"):
            event.pop(key, None)
        framed.update(event)
        return framed

    return add_frame


def render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Write one JSON object; anything but ASCII is escaped, so that every stream takes it."""
    try:
        line = _encode_fast(event)
    except (TypeError, ValueError):  # Lone halves of a surrogate pair, numbers past 64 bits.
        return _encode(event)
    return line.decode("ascii") if line.isascii() else _encode(event)


def console_renderer(*, colors: bool) -> Processor:
    """Make the renderer for a terminal: the human sentence first, and no escape codes in values."""
    render = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )

    def render_console(logger: WrappedLogger, method: str, event: EventDict) -> str:
        shown = {key: _printable(key, value) for key, value in event.items()}
        for key in ("service", "node_id", "machine_id"):
            shown.pop(key, None)
        if shown["event"] == "stdlib" and "detail" in shown:  # A library's own sentence.
            shown["event"] = shown.pop("detail")
        if human := shown.pop("human", None):
            shown["event"] = human
        shown = {key: value for key, value in shown.items() if value is not None}
        return str(render(logger, method, shown))

    return render_console


def guarded(steps: Sequence[Processor]) -> Processor:
    """Join the steps to one that gives a line in any case: logging degrades, it never raises."""

    def run(logger: WrappedLogger, method: str, event: EventDict) -> str:
        name = event.get("event")
        try:
            current: Any = event
            for step in steps:
                current = step(logger, method, current)
            return str(current)
        except Exception as error:  # noqa: BLE001 - a value's own methods may raise anything
            return _encode(
                {
                    "timestamp": timestamp(),
                    "level": "error",
                    "event": "log_line_failed",
                    "of": name if isinstance(name, str) and name.isidentifier() else None,
                    "error": type(error).__name__,
                }
            )

    return run


def build_pipeline(settings: LogSettings, *, console: bool, colors: bool) -> list[Processor]:
    """Put together what every line of this program goes through."""
    render = console_renderer(colors=colors) if console else render_json
    return [guarded([frame(settings), structlog.processors.format_exc_info, redact, render])]


def _printable(key: str, value: object) -> object:
    if isinstance(value, str):
        return value.translate(_CONTROL_IN_BLOCK if key in ("exception", "stack") else _CONTROL)
    if isinstance(value, Mapping | list):
        return _encode(value)
    return value
