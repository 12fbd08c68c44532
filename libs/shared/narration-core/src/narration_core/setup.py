"""Switching logging on: called once, by a program, never by a library."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import structlog
from structlog.typing import FilteringBoundLogger

from narration_core.pipeline import JsonLines, build_pipeline
from narration_core.settings import LogSettings


class LogStream(Protocol):
    """Where lines go: a text file, standard error."""

    def write(self, text: str, /) -> object:
        """Take a line."""
        ...

    def flush(self) -> object:
        """Pass on what was taken."""
        ...


class LineWriter:
    """Writes whole lines; a stream that fails loses lines, which are counted, and nothing else.

    A program started with a closed standard error has no stream at all.
    """

    def __init__(self, stream: LogStream | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._later: Callable[[Callable[[], None]], object] | None = None
        self._thread: int | None = None
        self.dropped_lines = 0

    @contextmanager
    def gathering(self, later: Callable[[Callable[[], None]], object]) -> Iterator[None]:
        """Write the lines that this thread has told in one turn of its event loop in one piece.

        `later` is the loop's `call_soon`. Lines of other threads are written at once.
        """
        self._later, self._thread = later, threading.get_ident()
        try:
            yield
        finally:
            self._later = self._thread = None
            self.flush()

    def msg(self, line: str) -> None:
        """Write one line, now or with all others of this turn."""
        with self._lock:
            self._waiting.append(line)
            if self._later is not None and threading.get_ident() == self._thread:
                if len(self._waiting) == 1:
                    self._later(self.flush)
                return
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            lines, self._waiting = self._waiting, []
            if not lines:
                return
            try:
                if self._stream is None:
                    self.dropped_lines += len(lines)
                else:
                    self._stream.write("\n".join(lines) + "\n")
                    self._stream.flush()
            except (OSError, ValueError):
                self.dropped_lines += len(lines)

    def is_terminal(self) -> bool:
        """Tell whether a person reads along."""
        try:
            return bool(getattr(self._stream, "isatty", bool)())
        except ValueError:  # The stream is closed.
            return False

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class _StdlibBridge(logging.Handler):
    """Gives records of libraries that use `logging` the same form as our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; `message` may fail to format, which costs its arguments only."""
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments are foreign objects
            text = str(record.msg)
        # Libraries may number levels of their own; each counts as the standard one below it.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        get_logger().log(level, "stdlib", logger=record.name, detail=text, exc_info=record.exc_info)


def configure(settings: LogSettings, *, stream: LogStream | None = None) -> LineWriter:
    """Send all logs of this process to `stream` (standard error); returns the writer.

    Call it once, before the first line: a logger keeps what it was first used with. Records of
    `logging` come along from level warning on.
    """
    writer = LineWriter(sys.stderr if stream is None else stream)
    terminal = writer.is_terminal()
    console = settings.format == "console" or (settings.format == "auto" and terminal)
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    global _json_lines  # noqa: PLW0603 - there is one log of a process, and this switches it on
    _json_lines = None if console else JsonLines(settings, level=level, write=writer.msg)
    structlog.configure(
        processors=build_pipeline(settings, console=console, colors=console and terminal),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: writer,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_StdlibBridge()], level=max(level, logging.WARNING), force=True)
    return writer


_json_lines: JsonLines | None = None


def json_lines() -> JsonLines | None:
    """Give the way past the pipeline for lines that are JSON; None where none are."""
    return _json_lines


def get_logger(**fields: object) -> FilteringBoundLogger:
    """Give a logger with these fields on every line; bind once, use often."""
    return cast("FilteringBoundLogger", structlog.get_logger(**fields))
