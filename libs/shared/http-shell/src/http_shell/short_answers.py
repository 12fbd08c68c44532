"""Answers on the short way, as bytes."""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache

from aiohttp import hdrs, web
from pydantic import BaseModel

from api_types import JSON


class HeadTemplate:
    """Heads of which only some lines differ: the others and the date are written once a second."""

    __slots__ = ("_lines", "_second", "_written")

    def __init__(self, status: int, reason: str, headers: Mapping[str, str]) -> None:
        self._lines = f"HTTP/1.1 {status} {reason}\r\n{_lines_of(headers)}"
        self._second = -1
        self._written = ""

    def head(self, headers: Mapping[str, str]) -> bytes:
        """Write a head with these headers besides; raises ValueError where they would break it."""
        second = int(time.time())
        if second != self._second:
            self._written = f"{self._lines}Date: {_date(second)}\r\n"
            self._second = second
        return f"{self._written}{_lines_of(headers)}\r\n".encode()


def head_bytes(status: int, reason: str, headers: Mapping[str, str]) -> bytes:
    """Write status line and headers; raises ValueError for a header that would break them."""
    date = _date(int(time.time()))
    return f"HTTP/1.1 {status} {reason}\r\n{_lines_of(headers)}Date: {date}\r\n\r\n".encode()


def _lines_of(headers: Mapping[str, str]) -> str:
    lines = ""
    for name, value in headers.items():
        lines += f"{name}: {value}\r\n"
    if not lines.count("\r") == lines.count("\n") == len(headers):
        raise ValueError("a header of the answer has a line end in it")
    return lines


@lru_cache(maxsize=1)
def _date(unix_s: int) -> str:
    return formatdate(unix_s, usegmt=True)


class JsonAnswer:
    """Answers that say one document, of which but some lines of their heads differ."""

    __slots__ = ("_body", "_template", "document")

    def __init__(self, document: BaseModel) -> None:
        self.document = document
        self._body = document.model_dump_json().encode()
        fixed: dict[str, str] = {
            hdrs.CACHE_CONTROL: "no-store",
            hdrs.CONTENT_TYPE: JSON,
            hdrs.CONTENT_LENGTH: str(len(self._body)),
        }
        self._template = HeadTemplate(200, "OK", fixed)

    def written(self, headers: Mapping[str, str]) -> bytes:
        """Write what `answer_bytes` makes of a `json_answer` with these headers."""
        return self._template.head(headers) + self._body


def answer_bytes(response: web.Response) -> bytes:
    """Write a whole answer that was made for aiohttp."""
    body = response.body if isinstance(response.body, bytes) else b""
    headers = dict(response.headers)
    if response.status != 204:
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
    return head_bytes(response.status, response.reason or "", headers) + body
