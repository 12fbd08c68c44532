"""Several lines about one thing: what they share is checked and written once, not in each."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import structlog

from narration_core.pipeline import JsonLines
from narration_core.redaction import redact
from narration_core.setup import json_lines

NUMBER = "\N{SYMBOL FOR SUBSTITUTE FORM TWO}"
"""Stands in a sentence where a number will."""

_FIRST_MARK = 7_135_790_000_000
"""Numbers that stand in a shape until it is known where its numbers stand; no time and no count."""

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

    def tell(
        self,
        level: str,
        event: str,
        *,
        human: str,
        numbers: tuple[int | None, ...] = (),
        **fields: str | int | None,
    ) -> None:
        """Write a line; what a logger would not show of the fields is not shown here.

        `numbers` take the places of each `NUMBER` in the sentence: lines that differ in numbers
        only are checked and written once.
        """
        lines = self._lines
        if lines is None:
            logger = structlog.get_logger(**self._about, **dict(self._where))
            write: Callable[..., object] = getattr(logger, level)
            write(event, human=_filled(human, numbers), **fields)
        elif _LEVELS[level] >= lines.level:
            kept: list[object] = []
            found: list[int | None] = []
            for name, value in fields.items():
                if type(value) is int:
                    found.append(value)
                    kept.append(name)
                else:
                    kept.append((name, value))
            shape = _shape(lines, human, len(numbers), tuple(kept))
            lines.write(level, event, self._told, self._where_told, shape % (*found, *numbers))


def _filled(human: str, numbers: Iterable[object]) -> str:
    for number in numbers:
        human = human.replace(NUMBER, str(number), 1)
    return human


def _members(lines: JsonLines, fields: Mapping[str, object]) -> str:
    return lines.members(redact(None, "", dict(fields)))


@lru_cache(maxsize=1024)
def _known_members(lines: JsonLines, fields: tuple[tuple[str, object], ...]) -> str:
    return _members(lines, dict(fields))


@lru_cache(maxsize=1024)
def _shape(lines: JsonLines, human: str, numbers: int, fields: tuple[object, ...]) -> str:
    """Write the members of a line with a `%s` for each number, those of its sentence last."""
    marks = itertools.count(_FIRST_MARK)
    plain: dict[str, object] = {}
    for field in fields:
        name, value = field if isinstance(field, tuple) else (field, next(marks))
        plain[name] = value
    plain["human"] = _filled(human, [next(marks) for _ in range(numbers)])
    text = _members(lines, plain).replace("%", "%%")
    pieces, past = list[str](), 0
    for mark in map(str, range(_FIRST_MARK, next(marks))):
        at = text.find(mark, past)
        if at < 0:  # A number under the name of a secret.
            pieces.append("%.0s")
        else:
            pieces += (text[past:at], "%s")
            past = at + len(mark)
    return "".join((*pieces, text[past:]))
