"""The heads of a relayed request and its response: the only parts that a relay reads.

Pure. A head is rewritten once for each message; what follows it is passed on as it comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization"),
        *(b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
"""What a message says about one connection only (RFC 9110, 7.6.1)."""
FOR_THE_NODE = frozenset({b"host", b"authorization", b"x-api-key", b"cookie"})
"""What a request says to the node, and the engine must not see."""
SET_HERE = frozenset({b"content-length", b"expect", b"x-correlation-id"})
_NOT_FOR_THE_ENGINE = HOP_BY_HOP | FOR_THE_NODE | SET_HERE
_NOT_FOR_THE_CLIENT = (HOP_BY_HOP - {b"transfer-encoding"}) | {b"x-correlation-id"}

MAX_HEAD_BYTES = 64 * 1024
_HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
TAIL_BYTES = len(b"\r\n" + LAST_CHUNK)

RawHeaders = Iterable[tuple[bytes, bytes]]


class BadHead(Exception):
    """The engine's answer does not begin like one of HTTP/1.1."""


def request_head(
    method: str,
    target: str,
    headers: RawHeaders,
    *,
    authority: str,
    engine_key: str | None,
    correlation_id: str,
    body_bytes: int | None,
) -> bytes:
    """Return the head for the engine; `body_bytes` None means a body in chunks."""
    kept = tuple(headers)
    unwanted = _NOT_FOR_THE_ENGINE | _named_by_connection(kept)
    lines = [f"{method} {target} HTTP/1.1", f"Host: {authority}", "Connection: close"]
    if engine_key is not None:
        lines.append(f"Authorization: Bearer {engine_key}")
    lines.append(f"X-Correlation-Id: {correlation_id}")
    if body_bytes is None:
        lines.append("Transfer-Encoding: chunked")
    elif body_bytes or method == "POST":
        lines.append(f"Content-Length: {body_bytes}")
    own = "\r\n".join(lines).encode("ascii")
    passed = b"".join(
        b"\r\n" + name + b": " + value for name, value in kept if name.lower() not in unwanted
    )
    return own + passed + _HEAD_END


def _named_by_connection(headers: RawHeaders) -> frozenset[bytes]:
    return frozenset(
        option.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    )


@dataclass(frozen=True, slots=True)
class Framing:
    """How the end of a body is told."""

    length_bytes: int | None = None
    chunked: bool = False

    @property
    def ends_itself(self) -> bool:
        """Whether a reader knows the end without the connection being closed."""
        return self.chunked or self.length_bytes is not None

    def is_whole(self, passed_bytes: int, tail: bytes) -> bool:
        """Tell from the count and the last bytes of a body whether nothing is missing."""
        if self.chunked:
            return tail.endswith(b"\r\n" + LAST_CHUNK) or tail == LAST_CHUNK
        return passed_bytes == self.length_bytes


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The head of a response as the client gets it."""

    status: int
    framing: Framing
    for_client: bytes

    @property
    def is_interim(self) -> bool:
        """Whether another head follows."""
        return self.status < 200


def split_head(received: bytes) -> tuple[bytes, bytes] | None:
    """Cut the first head off what was received; None while it is not whole. Raises BadHead."""
    end = received.find(_HEAD_END)
    if end < 0:
        if len(received) > MAX_HEAD_BYTES:
            raise BadHead(f"no end of the head within {MAX_HEAD_BYTES} bytes")
        return None
    return received[:end], received[end + len(_HEAD_END) :]


def response_head(head: bytes, *, correlation_id: str, keep_alive: bool) -> ResponseHead:
    """Rewrite a response's head for the client. Raises BadHead.

    Transfer-Encoding stays, since the body's own framing is passed on with it.
    """
    status_line, *lines = head.split(b"\r\n")
    headers = [_header(line) for line in lines]
    status = _status(status_line)
    framing = _framing(status, headers)
    unwanted = _NOT_FOR_THE_CLIENT | _named_by_connection(headers)
    kept = [line for line, (name, _) in zip(lines, headers, strict=True) if name not in unwanted]
    kept.append(f"X-Correlation-Id: {correlation_id}".encode("ascii"))
    if not (keep_alive and framing.ends_itself):
        kept.append(b"Connection: close")
    return ResponseHead(status, framing, b"\r\n".join([status_line, *kept]) + _HEAD_END)


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) < 3 or not code.isdigit():
        raise BadHead("the status line is not of HTTP/1.1")
    return int(code)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip() or b"\n" in line or b"\0" in line:
        raise BadHead("a header line is malformed")
    return name.lower(), value.strip()


def _framing(status: int, headers: RawHeaders) -> Framing:
    if status in (204, 304) or status < 200:
        return Framing(length_bytes=0)
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    lengths = {value for name, value in headers if name == b"content-length"}
    if codings:
        if codings != [b"chunked"] or lengths:
            raise BadHead("the framing of the body is ambiguous")
        return Framing(chunked=True)
    if len(lengths) > 1 or any(not length.isdigit() for length in lengths):
        raise BadHead("the length of the body is ambiguous")
    return Framing(length_bytes=int(lengths.pop())) if lengths else Framing()
