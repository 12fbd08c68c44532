"""The heads of a relayed request and its response: the only parts that a relay reads.

Pure. A head is rewritten once for each message; what follows it is passed on as it comes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""What a message says about one connection only (RFC 9110, 7.6.1)."""
FOR_THE_NODE = frozenset({"host", "authorization", "x-api-key", "cookie"})
"""What a request says to the node, and the engine must not see."""
SET_HERE = frozenset({"content-length", "expect", "x-correlation-id"})
_NOT_FOR_THE_ENGINE = HOP_BY_HOP | FOR_THE_NODE | SET_HERE
_NOT_FOR_THE_CLIENT = (HOP_BY_HOP - {"transfer-encoding"}) | {"x-correlation-id"}

MAX_HEAD_BYTES = 64 * 1024
HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile("[0-9]+")
_SPACE = " \t\n\r\v\f"
HEAD_ENCODING = "latin-1"
"""In which each byte is a character: what is not ASCII is passed on as it came."""

Headers: TypeAlias = Sequence[tuple[str, str]]


class BadHead(Exception):
    """The engine's answer does not begin like one of HTTP/1.1."""


def request_head(
    method: str,
    target: str,
    headers: Headers,
    *,
    authority: str,
    engine_key: str | None,
    correlation_id: str,
    body_bytes: int | None,
) -> bytes:
    """Return the head for the engine; `body_bytes` None means a body in chunks."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {authority}"]
    if engine_key is not None:
        lines.append(f"Authorization: Bearer {engine_key}")
    lines.append(f"X-Correlation-Id: {correlation_id}")
    if body_bytes is None:
        lines.append("Transfer-Encoding: chunked")
    elif body_bytes or method == "POST":
        lines.append(f"Content-Length: {body_bytes}")
    unwanted = _NOT_FOR_THE_ENGINE | _named_by_connection(headers)
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in unwanted]
    lines.append("\r\n")
    return "\r\n".join(lines).encode(HEAD_ENCODING)


def _named_by_connection(headers: Headers) -> frozenset[str]:
    told = [value for name, value in headers if name.lower() == "connection"]
    if not told:
        return _NOTHING
    return frozenset(option.strip(_SPACE).lower() for value in told for option in value.split(","))


_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What the head of a response says; it is one for all answers that begin alike."""

    status: int
    length_bytes: int | None
    """Of the body, where that is said."""
    chunked: bool
    ends_itself: bool
    """Whether a reader knows the end of the body without the connection being closed."""
    keeps_open: bool
    """Whether its connection can carry another request, once the body is whole."""
    kept: bytes
    """The lines that the client gets as well."""

    def for_client(self, *, correlation_id: bytes, keep_alive: bool) -> bytes:
        """Return it as the client gets it.

        Transfer-Encoding stays, since the body's own framing is passed on with it.
        """
        end = _STAYS if keep_alive and self.ends_itself else _CLOSES
        return b"%b\r\nX-Correlation-Id: %b%b" % (self.kept, correlation_id, end)


_STAYS = b"\r\n\r\n"
_CLOSES = b"\r\nConnection: close\r\n\r\n"


def check_room(received: bytes) -> None:
    """Raise BadHead where the end of a head should have come by now."""
    if len(received) > MAX_HEAD_BYTES:
        raise BadHead(f"no end of the head within {MAX_HEAD_BYTES} bytes")


@lru_cache(maxsize=64)
def read_response(head: bytes) -> ResponseHead:
    """Read a response's head, as an engine begins most of its answers. Raises BadHead."""
    status_line, *lines = head.split(b"\r\n")
    headers = [_header(line) for line in lines]
    status = _status(status_line)
    length_bytes, chunked = _framing(status, headers)
    ends_itself = chunked or length_bytes is not None
    options = _named_by_connection(headers)
    stays = status_line.startswith(b"HTTP/1.1") and "close" not in options
    unwanted = _NOT_FOR_THE_CLIENT | options
    kept = [line for line, (name, _) in zip(lines, headers, strict=True) if name not in unwanted]
    return ResponseHead(
        status,
        length_bytes,
        chunked=chunked,
        ends_itself=ends_itself,
        keeps_open=ends_itself and stays,
        kept=b"\r\n".join([status_line, *kept]),
    )


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) < 3 or not code.isdigit():
        raise BadHead("the status line is not of HTTP/1.1")
    return int(code)


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode(HEAD_ENCODING).partition(":")
    if not colon or not name or name != name.strip(_SPACE) or b"\n" in line or b"\0" in line:
        raise BadHead("a header line is malformed")
    return name.lower(), value.strip(_SPACE)


def _framing(status: int, headers: Headers) -> tuple[int | None, bool]:
    """Return the length of the body, where it is known, and whether it comes in chunks."""
    if status in (204, 304) or status < 200:
        return 0, False
    codings = [value.lower() for name, value in headers if name == "transfer-encoding"]
    lengths = {value for name, value in headers if name == "content-length"}
    if codings:
        if codings != ["chunked"] or lengths:
            raise BadHead("the framing of the body is ambiguous")
        return None, True
    if len(lengths) > 1 or any(not _LENGTH.fullmatch(length) for length in lengths):
        raise BadHead("the length of the body is ambiguous")
    return (int(lengths.pop()) if lengths else None), False
