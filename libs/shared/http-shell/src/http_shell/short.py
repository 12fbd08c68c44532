"""The short way: a whole request of the usual form, seen without aiohttp's parser and task.

It is a way past aiohttp for a few routes, never another way to answer: whatever is unusual about a
request or a connection, from a header to a head in two packets, is left to aiohttp untouched.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from typing import Any, Final, Literal, Protocol, TypeAlias

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import BaseModel

from api_types import JSON

MAX_HELD_BYTES = 65_536
"""A request that has come in part is held up to this size; a larger one is aiohttp's at once."""
_MAX_HEAD_BYTES = 8_000
_NAME = re.compile(rb"[A-Za-z0-9-]+")
_VALUE = re.compile(rb"[\x20-\x7e]*")
_LENGTH = re.compile(r"[0-9]{1,9}")
_UNUSUAL = (
    hdrs.TRANSFER_ENCODING,
    hdrs.CONTENT_ENCODING,
    hdrs.EXPECT,
    hdrs.UPGRADE,
    hdrs.TE,
    hdrs.TRAILER,
)


@dataclass(slots=True, eq=False)
class ShortRequest:
    """What a gate, a route and a handler ask of a request; stands where a `BaseRequest` would."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    content: bytes
    remote: str | None
    shared: dict[Any, Any] = field(default_factory=dict)
    """What was found out from the headers alone: there for the next request with the same bytes."""
    head: bytes = b""
    """Request line and headers as they came, without the empty line behind them."""
    _kept: dict[Any, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The host that the request is meant for."""
        return self.headers.get(hdrs.HOST, "")

    @property
    def content_length(self) -> int:
        """The length of the body, all of which is there."""
        return len(self.content)

    @property
    def body_exists(self) -> bool:
        """Whether there is a body."""
        return bool(self.content)

    def __getitem__(self, key: Any) -> Any:
        return self._kept[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._kept[key] = value

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what was kept under a key."""
        return self._kept.get(key, default)


class ShortExchange(Protocol):
    """An answer that is under way."""

    def lost(self) -> None:
        """The client has gone: give up."""
        ...


class ShortConnection(Protocol):
    """The connection that an answer is written to."""

    on_flow: Callable[[bool], None] | None
    transport: Any

    @property
    def writing_paused(self) -> bool:
        """Whether the client takes no more for now."""
        ...

    def answered(self) -> None:
        """The exchange is over and the connection free for the next."""
        ...


class ShortWay(Protocol):
    """Answers requests of a few routes."""

    def knows(self, method: str, path: str) -> bool:
        """Whether a request like this one may go the short way."""
        ...

    def begin(self, request: ShortRequest, connection: ShortConnection) -> ShortExchange | None:
        """Begin to answer; None, with nothing done, leaves the request to aiohttp.

        `connection.answered` is called once it is over, perhaps before this returns.
        """
        ...


Recall: TypeAlias = Callable[[bytes, ShortConnection], ShortExchange | None]
"""Begins to answer what came, if that is as a whole a request of a form that was met before; else
None, with nothing done, and it is read as any other."""


class _Part(Enum):
    UNFINISHED = "unfinished"


UNFINISHED: Final = _Part.UNFINISHED
"""The head of a request that may go the short way, and less than its body."""


def short_request(
    data: bytes, way: ShortWay, transport: Any
) -> ShortRequest | Literal[_Part.UNFINISHED] | None:
    """Read what has come as exactly one request that may go the short way."""
    end = data.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
    line_end = data.find(b"\r\n", 0, end + 2)
    line = data[:line_end].split(b" ")
    if end < 0 or len(line) != 3 or line[2] != b"HTTP/1.1":
        return None
    try:
        method, path = line[0].decode("ascii"), line[1].decode("ascii")
    except UnicodeDecodeError:
        return None
    if not way.knows(method, path):
        return None
    found = _headers(data[line_end + 2 : end])
    if found is None:
        return None
    size = end + 4 + found[1]
    if len(data) != size:
        return UNFINISHED if len(data) < size <= MAX_HELD_BYTES else None
    peer = transport.get_extra_info("peername")
    remote = peer[0] if isinstance(peer, tuple | list) else peer
    return ShortRequest(method, path, found[0], data[end + 4 :], remote, found[2], data[:end])


@lru_cache(maxsize=512)
def _headers(lines: bytes) -> tuple[CIMultiDictProxy[str], int, dict[Any, Any]] | None:
    """Return headers, the length of the body, and room for what else they say.

    A client sends the same ones again and again.
    """
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        if (text := name.decode("ascii")) in headers:
            return None
        headers[text] = value.decode("ascii")
    if any(name in headers for name in _UNUSUAL):
        return None
    if headers.get(hdrs.CONNECTION, "keep-alive").lower() != "keep-alive":
        return None
    length = headers.get(hdrs.CONTENT_LENGTH, "0")
    if not _LENGTH.fullmatch(length):
        return None
    return CIMultiDictProxy(headers), int(length), {}


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
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not lines.count("\r") == lines.count("\n") == len(headers):
        raise ValueError("a header of the answer has a line end in it")
    return lines


@lru_cache(maxsize=1)
def _date(unix_s: int) -> str:
    return formatdate(unix_s, usegmt=True)


def json_bytes(model: BaseModel, headers: Mapping[str, str]) -> bytes:
    """Write what `answer_bytes` makes of a `json_answer` with more headers, in far fewer steps."""
    body = model.model_dump_json().encode()
    written = {
        hdrs.CACHE_CONTROL: "no-store",
        hdrs.CONTENT_TYPE: JSON,
        **headers,
        hdrs.CONTENT_LENGTH: str(len(body)),
    }
    return head_bytes(200, "OK", written) + body


def answer_bytes(response: web.Response) -> bytes:
    """Write a whole answer that was made for aiohttp."""
    body = response.body if isinstance(response.body, bytes) else b""
    headers = dict(response.headers)
    if response.status != 204:
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
    return head_bytes(response.status, response.reason or "", headers) + body
