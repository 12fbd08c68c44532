"""Switching logging on: called once, by a program, never by a library."""

import logging
import sys
from typing import cast

import structlog
from structlog.typing import FilteringBoundLogger

from narration_core.json_lines import JsonLines
from narration_core.pipeline import build_pipeline
from narration_core.settings import LogSettings
from narration_core.writing import LineWriter, LogStream

json_lines: JsonLines | None = None
"""The way past the pipeline; None where lines are not JSON."""


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
    global json_lines  # noqa: PLW0603 - there is one log of a process, and this switches it on
    json_lines = None if console else JsonLines(settings, level=level, writer=writer)
    structlog.configure(
        processors=build_pipeline(settings, console=console, colors=console and terminal),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: writer,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_StdlibBridge()], level=max(level, logging.WARNING), force=True)
    return writer


def get_logger(**fields: object) -> FilteringBoundLogger:
    """Give a logger with these fields on every line; bind once, use often."""
    return cast("FilteringBoundLogger", structlog.get_logger(**fields))
