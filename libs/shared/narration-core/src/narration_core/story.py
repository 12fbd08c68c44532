"""Several lines about one thing: what they share is checked and written once, not in each."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import structlog

from narration_core.pipeline import JsonLines
from narration_core.redaction import redact
from narration_core.setup import json_lines

_LEVELS = {"info": 20, "warning": 30, "error": 40}


class Story:
    """Tells lines that a logger with the same fields would write, for less.

    `about` are fields of this story alone. `where` are such as many stories have in common, and
    change on the way: their text is kept for whoever comes next. An exception is a logger's.
    """

    __slots__ = ("_about", "_lines", "_told", "_where", "_where_told")

    def __init__(self, about: Mapping[str, object]) -> None:
        self._about = about
        self._where: tuple[tuple[str, object], ...] = ()
        self._lines = json_lines()
        self._told = "" if self._lines is None else _members(self._lines, about)
        self._where_told = ""

    def move(self, where: tuple[tuple[str, object], ...]) -> None:
        """Say where the story goes on."""
        if where != self._where:
            self._where = where
            if self._lines is not None:
                self._where_told = _known_members(self._lines, where)

    def tell(self, level: str, event: str, *, human: str, **fields: object) -> None:
        """Write a line; what a logger would not show of the fields is not shown here."""
        lines = self._lines
        if lines is None:
            logger = structlog.get_logger(**self._about, **dict(self._where))
            write: Callable[..., object] = getattr(logger, level)
            write(event, human=human, **fields)
        elif _LEVELS[level] >= lines.level:
            fields["human"] = human
            lines.write(level, event, self._told, self._where_told, _members(lines, fields))


def _members(lines: JsonLines, fields: Mapping[str, object]) -> str:
    return lines.members(redact(None, "", dict(fields)))


@lru_cache(maxsize=1024)
def _known_members(lines: JsonLines, fields: tuple[tuple[str, object], ...]) -> str:
    return _members(lines, dict(fields))
