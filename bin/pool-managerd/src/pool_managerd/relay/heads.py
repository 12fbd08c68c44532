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
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile("[0-9]+")
_SPACE = " \t\n\r\v\f"
HEAD_ENCODING = "latin-1"
"""In which each byte is a character: what is not ASCII is passed on as it came."""
MAX_KNOWN_HEAD_BYTES = 1024

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
class Framing:
    """How the end of a body is told."""

    length_bytes: int | None = None
    chunked: bool = False

    @property
    def ends_itself(self) -> bool:
        """Whether a reader knows the end without the connection being closed."""
        return self.chunked or self.length_bytes is not None


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What the head of a response says; it is the same for all answers that begin alike."""

    status: int
    framing: Framing
    keeps_open: bool
    """Whether its connection can carry another request, once the body is whole."""
    kept: bytes
    """The lines that the client gets as well."""

    def for_client(self, *, correlation_id: str, keep_alive: bool) -> bytes:
        """Return it as the client gets it.

        Transfer-Encoding stays, since the body's own framing is passed on with it.
        """
        stays = keep_alive and self.framing.ends_itself
        end = f"\r\nX-Correlation-Id: {correlation_id}{'' if stays else _CLOSE}\r\n\r\n"
        return self.kept + end.encode("ascii")


def split_head(received: bytes) -> tuple[bytes, bytes] | None:
    """Cut the first head off what was received; None while it is not whole. Raises BadHead."""
    end = received.find(_HEAD_END)
    if end < 0:
        if len(received) > MAX_HEAD_BYTES:
            raise BadHead(f"no end of the head within {MAX_HEAD_BYTES} bytes")
        return None
    return received[:end], received[end + len(_HEAD_END) :]


def read_response(head: bytes) -> ResponseHead:
    """Read a response's head. Raises BadHead."""
    # An engine begins most of its answers alike.
    return _read_known(head) if len(head) <= MAX_KNOWN_HEAD_BYTES else _read(head)


_CLOSE = "\r\nConnection: close"


def _read(head: bytes) -> ResponseHead:
    status_line, *lines = head.split(b"\r\n")
    headers = [_header(line) for line in lines]
    status = _status(status_line)
    framing = _framing(status, headers)
    options = _named_by_connection(headers)
    unwanted = _NOT_FOR_THE_CLIENT | options
    kept = [line for line, (name, _) in zip(lines, headers, strict=True) if name not in unwanted]
    keeps_open = (
        framing.ends_itself and status_line.startswith(b"HTTP/1.1") and "close" not in options
    )
    return ResponseHead(status, framing, keeps_open, b"\r\n".join([status_line, *kept]))


_read_known = lru_cache(maxsize=64)(_read)


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


def _framing(status: int, headers: Headers) -> Framing:
    if status in (204, 304) or status < 200:
        return Framing(length_bytes=0)
    codings = [value.lower() for name, value in headers if name == "transfer-encoding"]
    lengths = {value for name, value in headers if name == "content-length"}
    if codings:
        if codings != ["chunked"] or lengths:
            raise BadHead("the framing of the body is ambiguous")
        return Framing(chunked=True)
    if len(lengths) > 1 or any(not _LENGTH.fullmatch(length) for length in lengths):
        raise BadHead("the length of the body is ambiguous")
    return Framing(length_bytes=int(lengths.pop())) if lengths else Framing()
