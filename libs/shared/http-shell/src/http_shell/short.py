"""The short way: a whole request of the usual form, seen without aiohttp's parser and task.

It is a way past aiohttp for a few routes, never another way to answer: whatever is unusual about a
request or a connection, from a header to a head in two packets, is left to aiohttp untouched.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy

FormKey = tuple[str | None, bytes]
"""The peer's address, and a digest of what does not vary in a head."""
_USUAL: Final = re.compile(
    rb"(?:\r\n[A-Za-z0-9-]+:[ \t]*(?:[\x21-\x7e][\x20-\x7e]*)?(?:\t[ \t]*)?)+"
)
_UNUSUAL: Final = re.compile(
    rb"\r\n(?i:transfer-encoding|content-encoding|expect|upgrade|te|trailer):"
)


def headers_of(raw: bytes) -> CIMultiDictProxy[str] | None:
    """Return the headers of a head, which has no line end in the end; None for unusual ones."""
    at = raw.find(b"\r\n")
    if at < 0 or not _USUAL.fullmatch(raw, at) or _UNUSUAL.search(raw, at):
        return None
    headers: CIMultiDict[str] = CIMultiDict()
    for line in raw[at + 2 :].decode("ascii").split("\r\n"):
        name, _, value = line.partition(":")
        if name in headers:
            return None
        headers[name] = value.strip(" \t")
    if headers.get(hdrs.CONNECTION, "keep-alive").lower() != "keep-alive":
        return None
    return CIMultiDictProxy(headers)


@dataclass(slots=True, eq=False)
class HeadForm:
    """What stays the same in the heads of one client."""

    key: FormKey
    method: str
    path: str
    length_at: int | None
    """Which of the varying values is the length of the body."""
    plain: bool
    """It says neither to which trace a request belongs, nor under which id it is told of."""
    passage: Any = None
    """What it led to, for whoever kept it."""


class ShortRequest:
    """What a gate, a route and a handler ask of a request; stands where a `BaseRequest` would."""

    __slots__ = ("_headers", "_keep", "_kept", "content", "form", "head", "remote")

    def __init__(
        self,
        form: HeadForm,
        head: bytes,
        content: bytes,
        remote: str | None,
        headers: CIMultiDictProxy[str] | None = None,
        *,
        keep: Callable[[HeadForm], None],
    ) -> None:
        self.form = form
        self.head = head
        """Request line and headers as they came, without the empty line behind them."""
        self.content = content
        self.remote = remote
        self._headers = headers
        self._keep = keep
        self._kept: dict[Any, Any] = {}

    def keep(self, passage: object) -> None:
        """Keep what the head led to, where it was let in, for all requests with such a head.

        They find it in `form.passage`. What may change meanwhile is theirs to look at.
        """
        self.form.passage = passage
        self._keep(self.form)

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """All headers, read when somebody asks."""
        if self._headers is None:
            self._headers = headers_of(self.head)
            if self._headers is None:
                raise AssertionError("an unusual head made a request")
        return self._headers

    @property
    def method(self) -> str:
        """The method."""
        return self.form.method

    @property
    def path(self) -> str:
        """The path; there is no query."""
        return self.form.path

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
