"""Several lines about one thing: what they share is checked and written once, not in each.

Which fields there are is known beforehand: `Subject` and `Wording` name them, and a story only
brings what stands in them. What many lines have in common is kept, with places for numbers and
ids: a line is put together from what was looked through before, and takes in no other text.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from time import time_ns

import structlog

from narration_core import setup
from narration_core.json_lines import JsonLines
from narration_core.pipeline import time_text
from narration_core.redaction import is_open_key, plain_id

_LEVELS = {"info": 20, "warning": 30, "error": 40}
_FIRST_MARK = 8_000_000_000_000
"""Numbers that stand in a line until it is known where its own will stand begin here."""

Texts = tuple[str | None, ...]
Numbers = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What stories of one kind are about, by the names of their fields."""

    own: tuple[str, ...]
    """What each story has for itself: ids."""
    shared: tuple[str, ...] = ()
    """What many stories have in common: its text is kept for whoever comes next."""


@dataclass(frozen=True, slots=True, eq=False)
class Wording:
    """How lines of one kind are put.

    In the sentence `{name}` stands for a text or a number of the line. Those whose names begin
    with `_` are for the sentence alone.
    """

    level: str
    event: str
    human: str
    texts: tuple[str, ...] = ()
    """Names of what few values are seen of: each combination is checked and kept."""
    numbers: tuple[str, ...] = ()


class Story:
    """Tells lines that a logger with the same fields would write, for less."""

    __slots__ = ("_lines", "_own", "_shared", "_subject", "_told")

    def __init__(self, subject: Subject, own: tuple[str, ...], shared: Texts = ()) -> None:
        self._subject, self._own, self._shared = subject, own, shared
        self._lines = lines = setup.json_lines
        if lines is not None:
            ids, common = _subject_template(lines, subject, shared)
            if ids is not None and plain_id("".join(own)):
                self._told = ids % own + common
            else:
                self._told = lines.members(dict(zip(subject.own, own, strict=True))) + common

    def tell(
        self,
        wording: Wording,
        texts: Texts = (),
        numbers: Numbers = (),
        *,
        error: BaseException | None = None,
    ) -> None:
        """Write a line; what a logger would not show of it is not shown here.

        With an error, which is shown with its traceback, it is a logger that writes.
        """
        lines = self._lines
        if lines is None or error is not None:
            self._log(wording, texts, numbers, error)
        elif _LEVELS[wording.level] >= lines.level:
            missing = tuple(n is None for n in numbers) if None in numbers else ()
            head, lead, template, in_their_places = _line_parts(lines, wording, texts, missing)
            time = time_text(time_ns() // 1_000_000)
            rest = template % in_their_places(numbers)
            writer = lines.writer
            writer.take(f'{{"timestamp":"{time}{head}{self._told}{lead}{rest}')
            if not writer.due:
                writer.taken()

    def _log(
        self, wording: Wording, texts: Texts, numbers: Numbers, error: BaseException | None
    ) -> None:
        subject = self._subject
        about = zip((*subject.own, *subject.shared), (*self._own, *self._shared), strict=True)
        fields = _fields(wording, texts, numbers)
        if error is not None:
            fields["exc_info"] = error
        write: Callable[..., object] = getattr(structlog.get_logger(**dict(about)), wording.level)
        write(wording.event, **fields)


def _fields(wording: Wording, texts: Texts, numbers: tuple[object, ...]) -> dict[str, object]:
    """Return the fields of a line with their names, and its sentence."""
    named = dict(zip((*wording.texts, *wording.numbers), (*texts, *numbers), strict=True))
    shown = {name: value for name, value in named.items() if not name.startswith("_")}
    return shown | {"human": wording.human.format_map(named)}


@lru_cache(maxsize=1024)
def _subject_template(lines: JsonLines, subject: Subject, shared: Texts) -> tuple[str | None, str]:
    """Write the members of a story: with places for its ids if they may stand there as they are."""
    ids = "".join(f',"{name}":"%s"' for name in subject.own)
    common = lines.members(dict(zip(subject.shared, shared, strict=True)))
    return (ids if all(map(is_open_key, subject.own)) else None), common


@lru_cache(maxsize=1024)
def _line_parts(
    lines: JsonLines, wording: Wording, texts: Texts, missing: tuple[bool, ...]
) -> tuple[str, str, str, Callable[[Numbers], object]]:
    """Write what stands between time and story, between story and numbers, and from these on.

    The last is a template, together with what brings numbers into the order of its places. Where
    these are is found by writing the line with numbers that stand nowhere else in it.
    """
    count = len(wording.numbers)
    without = lines.members(_fields(wording, texts, (None,) * count))
    marks = list(itertools.islice(_marks(without), count))
    numbers = tuple(
        None if is_missing else int(mark)
        for mark, is_missing in zip(marks, missing or (False,) * count, strict=True)
    )
    members = lines.members(_fields(wording, texts, numbers))
    lead, *rest = re.split(f"({'|'.join(marks)})", members) if marks else [members]
    order = [marks.index(mark) for mark in rest[::2]]
    template = "".join(f"%d{piece.replace('%', '%%')}" for piece in rest[1::2])
    head = f'","level":"{wording.level}","event":"{wording.event}"{lines.place}'
    in_their_places = itemgetter(*order) if order else itemgetter(slice(0))
    return head, lead, f"{template}}}", in_their_places


def _marks(text: str) -> Iterator[str]:
    """Give numbers that are not in a text; two of them never overlap, for each has one 8."""
    numbers = map(str, itertools.count(_FIRST_MARK))
    return (mark for mark in numbers if mark.count("8") == 1 and mark not in text)
