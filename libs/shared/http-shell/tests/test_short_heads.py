"""Heads that are remembered: nothing is read of them that a first look would not have found."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from http_shell import ShortReader, ShortRequest
from http_shell.short_heads import MAX_REMEMBERED, UNFINISHED


def knows(method: str, path: str) -> bool:
    return method in ("GET", "POST") and path in ("/it", "/other")


def told(reader: ShortReader, data: bytes, remote: str | None = "10.0.0.1") -> object:
    """Read a request, keep its head, and tell all that was read."""
    request = reader.read(data, remote)
    if not isinstance(request, ShortRequest):
        return request
    assert request.form.passage in (None, (request.method, request.path))
    request.keep((request.method, request.path))
    headers = [(name.lower(), value) for name, value in request.headers.items()]
    plain = not {"traceparent", "x-correlation-id"} & {name for name, _ in headers}
    assert request.form.plain is plain
    return (request.method, request.path, headers, request.content, request.remote)


_NAMES = st.sampled_from(
    [
        "Host",
        "Content-Length",
        "content-length",
        "X-Correlation-Id",
        "traceparent",
        "Authorization",
        "Connection",
        "Transfer-Encoding",
        "X-Content-Length",
        "Content-Length ",
        "",
        "X_Odd",
    ]
)
_VALUES = st.sampled_from(
    [
        " 2",
        "2",
        " 3\t",
        " +2",
        " 1_0",
        "",
        " 2, 2",
        " ²",
        " a",
        " Content-Length: 2",
        " a\nb: c",
        " 9999999999",
        " keep-alive",
        " close",
        " chunked",
        " \x00",
        "\t",
        " é",
    ]
)
_HEADERS = st.lists(st.builds("{}:{}".format, _NAMES, _VALUES), max_size=4)
_LINES = st.sampled_from(
    ["POST /it HTTP/1.1", "GET /other HTTP/1.1", "POST /it HTTP/1.0", "PUT /it"]
)
_HEADS = st.builds(lambda line, headers: "\r\n".join([line, *headers]), _LINES, _HEADERS)
_REQUESTS = st.builds(
    lambda head, body: f"{head}\r\n\r\n{body}".encode(), _HEADS, st.sampled_from(["", "{}", "{1}"])
)


@given(st.lists(_REQUESTS, max_size=8))
def test_a_reader_that_remembers_reads_as_one_that_sees_everything_for_the_first_time(
    requests: list[bytes],
) -> None:
    remembering = ShortReader(knows)
    for data in requests + requests:
        assert told(remembering, data) == told(ShortReader(knows), data)


def _head(*headers: str) -> bytes:
    return "\r\n".join(["POST /it HTTP/1.1", "Host: x", *headers]).encode() + b"\r\n\r\n"


def test_what_was_kept_is_there_for_the_same_head_of_the_same_peer_alone() -> None:
    reader = ShortReader(knows)
    first = reader.read(_head("Content-Length: 2") + b"{}", "10.0.0.1")
    assert isinstance(first, ShortRequest)
    first.keep("in")

    def passage(data: bytes, remote: str) -> object:
        request = reader.read(data, remote)
        assert isinstance(request, ShortRequest)
        return request.form.passage

    assert passage(_head("Content-Length: 3") + b"{1}", "10.0.0.1") == "in"
    assert passage(_head("Content-Length: 2") + b"{}", "10.0.0.2") is None
    assert passage(_head("Content-Length: 2", "X-Other: 1") + b"{}", "10.0.0.1") is None
    assert passage(_head("X-Correlation-Id: a"), "10.0.0.1") is None
    assert reader.read(_head("Content-Length: 3") + b"{1", "10.0.0.1") is UNFINISHED


def test_secrets_are_not_what_is_remembered() -> None:
    reader = ShortReader(knows)
    request = reader.read(_head("Authorization: Bearer quite-secret"), None)
    assert isinstance(request, ShortRequest)
    request.keep("in")
    assert "quite-secret" not in repr(reader._remembered)


def test_no_more_is_remembered_than_is_bearable_and_the_newest_longest() -> None:
    reader = ShortReader(knows)
    heads = [_head(f"X-Number: {number}") for number in range(MAX_REMEMBERED + 2)]
    for data in heads:
        request = reader.read(data, None)
        assert isinstance(request, ShortRequest)
        request.keep("in")
        request.keep("in again")
    found = [reader.read(data, None) for data in heads]
    known = [isinstance(r, ShortRequest) and r.form.passage is not None for r in found]
    assert known.count(True) == MAX_REMEMBERED
    assert all(before <= after for before, after in pairwise(known))
