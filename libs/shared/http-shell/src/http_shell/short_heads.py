"""Heads of requests, read once: a client sends the same bytes with each, but for a few.

What a head led to is remembered by a digest of it, since there are secrets in heads. Nothing is
remembered of one that was not let in, so that strangers push nothing out.
"""

import re
from collections.abc import Callable
from enum import Enum
from hashlib import sha256
from typing import Final, Literal

from http_shell.short import FormKey, HeadForm, ShortRequest, headers_of

MAX_HELD_BYTES = 65_536
"""A request that has come in part is held up to this size; a larger one is aiohttp's at once."""
MAX_REMEMBERED = 8_192
"""A head of each node of a large cluster, and those of its clients."""
_MAX_HEAD_BYTES = 8_000

_VARYING: Final = re.compile(rb"(\r\n(?i:content-length|traceparent|x-correlation-id):)([^\r\n]*)")
"""What differs between the requests of one client: read anew each time."""
_LENGTH_NAME: Final = b"\r\ncontent-length:"
_LENGTH: Final = re.compile(rb"[ \t]*([0-9]{1,9})[ \t]*")


class _Part(Enum):
    UNFINISHED = "unfinished"


UNFINISHED: Final = _Part.UNFINISHED
"""The head of a request that may go the short way, and less than its body."""


class ShortReader:
    """Reads requests that may go the short way; `knows` tells by method and path which those are.

    One for all connections of a server: a client with several sends the same on each.
    """

    def __init__(self, knows: Callable[[str, str], bool]) -> None:
        self._knows = knows
        self._remembered: dict[FormKey, HeadForm] = {}

    def read(
        self, data: bytes, remote: str | None
    ) -> ShortRequest | Literal[_Part.UNFINISHED] | None:
        """Read what has come as exactly one request that may go the short way."""
        end = data.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
        if end < 0:
            return None
        head = data[:end]
        pieces = _VARYING.split(head)
        values = pieces[2::3]
        del pieces[2::3]
        key = (remote, sha256(b"".join(pieces)).digest())
        form, headers = self._remembered.get(key), None
        if form is None:
            form = self._new(key, head, pieces[1::2])
            if form is None:
                return None
        if form.passage is None or not form.plain:
            headers = headers_of(head)
            if headers is None:
                return None
        size = end + 4
        if form.length_at is not None:
            length = _LENGTH.fullmatch(values[form.length_at])
            if length is None:
                return None
            size += int(length[1])
        if len(data) != size:
            return UNFINISHED if len(data) < size <= MAX_HELD_BYTES else None
        return ShortRequest(form, head, data[end + 4 :], remote, headers, keep=self._keep)

    def _keep(self, form: HeadForm) -> None:
        """Remember a form in place of the oldest."""
        remembered = self._remembered
        if len(remembered) >= MAX_REMEMBERED and form.key not in remembered:
            del remembered[next(iter(remembered))]
        remembered[form.key] = form

    def _new(self, key: FormKey, head: bytes, varying: list[bytes]) -> HeadForm | None:
        """Look for the first time at what a request is for."""
        line = head[: head.find(b"\r\n")].split(b" ")
        if len(line) != 3 or line[2] != b"HTTP/1.1":
            return None
        try:
            method, path = line[0].decode("ascii"), line[1].decode("ascii")
        except UnicodeDecodeError:
            return None
        if not self._knows(method, path):
            return None
        names = [name.lower() for name in varying]
        length_at = names.index(_LENGTH_NAME) if _LENGTH_NAME in names else None
        return HeadForm(key, method, path, length_at, plain=len(names) == (length_at is not None))
