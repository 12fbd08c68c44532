"""Heads of requests that came before: recognised, and not read again.

Pure. All that a control plane sends to one path of one engine begins alike, but for the task, its
trace and the size of its body. So a head is cut at these values: what is left tells where the
request goes, who sends it and what its engine gets in its place, which the usual way has found out
once. A head that differs in anything else is read in the usual way.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from adapter_api import EnginePath
from pool_managerd.relay.passages import KnownEngine

MAX_HEADS = 256
"""A few for each engine. Whoever may call makes them; at the bound all of them are forgotten."""
_HEAD_END = b"\r\n\r\n"
_CORRELATION = b"X-Correlation-Id: "
_LENGTH = b"Content-Length: "
_TASK = b"X-Llorch-Task: "
_TRACE = b"traceparent: "
_VARIABLE = frozenset({"x-correlation-id", "content-length", "x-llorch-task", "traceparent"})
_CUT = re.compile(
    rb"\r\n(X-Correlation-Id: |Content-Length: |X-Llorch-Task: |traceparent: )"
    # Each with the values that the usual way takes as they are; told apart by the last letter.
    rb"((?<=d: )[!-~]{1,128}|(?<=h: )(?:0|[1-9][0-9]{0,7})"
    rb"|(?<=k: )[!-.0-~]{1,128}/[1-9][0-9]{0,8}|(?<=t: )[!-~]{1,128})"
    rb"(?=\r\n|\Z)"
)

Cut: TypeAlias = tuple[bytes, ...]
"""What is left of a head: text and name by turns, and text at the end."""


@dataclass(frozen=True, slots=True)
class KnownHead:
    """What is known of a request from its head, but for the values."""

    engine: KnownEngine
    path: EnginePath
    target: str
    """As it was asked for."""
    standing: object
    """What it rests on that such a request is let in."""
    length_at: int
    task_at: int
    correlation_at: int | None
    trace_at: int | None
    template: bytes
    """The head for the engine, with a place for each value."""
    choose: Callable[[list[bytes]], Any]
    """Takes, in the order of the template, from the values and the correlation id behind them."""


class KnownHeads:
    """The heads that have been met."""

    def __init__(self) -> None:
        self._known: dict[Cut, KnownHead] = {}

    def find(self, data: bytes) -> tuple[KnownHead, list[bytes], bytes] | None:
        """Recognise exactly one whole request: return its head, the values in it, and its body."""
        head, _, body = data.partition(_HEAD_END)
        pieces = _CUT.split(head)
        values = pieces[2::3]
        del pieces[2::3]
        # The secret in it cannot be found out letter by letter: hashes are compared first.
        known = self._known.get(tuple(pieces))
        if known is None or len(body) != int(values[known.length_at]):
            return None
        return known, values, body

    def keep(self, cut: Cut, known: KnownHead) -> None:
        """Recognise such requests from now on."""
        if len(self._known) >= MAX_HEADS:
            self._known.clear()
        self._known[cut] = known


def learn(
    head: bytes,
    names: Iterable[str],
    for_engine: bytes,
    *,
    engine: KnownEngine,
    path: EnginePath,
    standing: object,
) -> tuple[Cut, KnownHead] | None:
    """Tell what can be known of a request from its head, its headers' names and the engine's head.

    None where a head with other values would be treated differently.
    """
    pieces = _CUT.split(head)
    cut_at, values = pieces[1::3], pieces[2::3]
    del pieces[2::3]
    varying = sum(name.lower() in _VARIABLE for name in names)
    if varying != len(cut_at) or not {_LENGTH, _TASK} <= set(cut_at):
        return None
    made, chosen = _CUT.split(for_engine), list[int]()
    template, correlation_id = _literal(made[0]), b""
    for name, value, text in zip(made[1::3], made[2::3], made[3::3], strict=True):
        template += b"\r\n" + name + b"%b" + _literal(text)
        if name == _CORRELATION:
            chosen.append(len(values))
            correlation_id = value
        else:
            chosen.append(cut_at.index(name))
    choose = itemgetter(*chosen)
    if template % choose([*values, correlation_id]) != for_engine:
        return None
    return tuple(pieces), KnownHead(
        engine,
        path,
        head.split(b" ", 2)[1].decode("ascii"),
        standing,
        length_at=cut_at.index(_LENGTH),
        task_at=cut_at.index(_TASK),
        correlation_at=_place(cut_at, _CORRELATION),
        trace_at=_place(cut_at, _TRACE),
        template=template,
        choose=choose,
    )


def _literal(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")


def _place(names: list[bytes], name: bytes) -> int | None:
    return names.index(name) if name in names else None
