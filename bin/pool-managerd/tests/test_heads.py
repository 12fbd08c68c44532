"""The heads that a relay rewrites, as bytes."""

import pytest

from pool_managerd.relay.heads import (
    HEAD_ENCODING,
    MAX_HEAD_BYTES,
    BadHead,
    ResponseHead,
    check_room,
    read_response,
    request_head,
)


def lines_of(*headers: tuple[str, str], body_bytes: int | None = 0) -> list[str]:
    head = request_head(
        "POST",
        "/completion",
        headers,
        authority="127.0.0.1:5",
        engine_key="engine-key",
        correlation_id="mine",
        body_bytes=body_bytes,
    )
    assert head.endswith(b"\r\n\r\n")
    return head.decode().split("\r\n")[:-2]


def test_an_engine_sees_nothing_that_was_meant_for_the_node() -> None:
    lines = lines_of(
        ("Host", "node:9200"),
        ("Authorization", "Bearer service-token"),
        ("X-API-Key", "service-token"),
        ("Cookie", "a=b"),
        ("Accept", "text/event-stream"),
    )
    assert lines == [
        "POST /completion HTTP/1.1",
        "Host: 127.0.0.1:5",
        "Authorization: Bearer engine-key",
        "X-Correlation-Id: mine",
        "Content-Length: 0",
        "Accept: text/event-stream",
    ]


def test_what_is_said_about_one_connection_stays_on_it() -> None:
    lines = lines_of(
        ("Connection", "keep-alive, X-Hop"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("X-Hop", "1"),
        ("X-Kept", "2"),
        ("traceparent", "00-1-2-01"),
    )
    assert lines[-2:] == ["X-Kept: 2", "traceparent: 00-1-2-01"]
    assert not any("X-Hop" in line or "TE:" in line for line in lines)


def test_what_is_not_ascii_is_passed_on_byte_by_byte() -> None:
    every = bytes(range(0x80, 0x100))
    text = every.decode(HEAD_ENCODING)
    head = request_head(
        *("GET", "/health", [("X-Odd", text)]),
        authority="a",
        engine_key=None,
        correlation_id="mine",
        body_bytes=0,
    )
    assert b"\r\nX-Odd: " + every + b"\r\n" in head
    assert every in for_client(response(f"X-Odd: {text}"))


def test_an_answer_that_begins_like_another_is_its_own() -> None:
    lines = ("Content-Length: 2", "A: b")
    assert response(*lines) is response(*lines)
    assert response(*lines) != response("Content-Length: 3", "A: b")
    assert b"X-Correlation-Id: other" in response(*lines).for_client(
        correlation_id=b"other", keep_alive=True
    )
    for _ in range(2):
        with pytest.raises(BadHead):
            response("Content-Length: 1", "Content-Length: 2")


def test_a_body_without_a_length_goes_on_in_chunks() -> None:
    assert "Transfer-Encoding: chunked" in lines_of(
        ("Transfer-Encoding", "chunked"), body_bytes=None
    )


def response(*lines: str) -> ResponseHead:
    return read_response("\r\n".join(("HTTP/1.1 200 OK", *lines)).encode(HEAD_ENCODING))


def for_client(head: ResponseHead, *, keep_alive: bool = True) -> bytes:
    return head.for_client(correlation_id=b"mine", keep_alive=keep_alive)


def test_a_response_keeps_its_framing_and_loses_its_connection() -> None:
    head = response("Transfer-Encoding: chunked", "Connection: close", "Keep-Alive: 5", "A: b")
    assert for_client(head) == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\nX-Correlation-Id: mine\r\n\r\n"
    )
    assert head.chunked


def test_a_body_that_ends_with_its_connection_ends_the_clients_as_well() -> None:
    assert b"Connection: close" in for_client(response("A: b"))
    assert b"Connection: close" in for_client(response("Content-Length: 1"), keep_alive=False)
    assert b"Connection: close" not in for_client(response("Content-Length: 1"))


def test_a_connection_stays_open_unless_the_engine_says_otherwise_or_the_body_ends_with_it() -> (
    None
):
    assert response("Content-Length: 1").keeps_open
    assert response("Transfer-Encoding: chunked", "Connection: keep-alive").keeps_open
    assert not response("Content-Length: 1", "Connection: X-Own, Close").keeps_open
    assert not response("A: b").keeps_open
    assert not read_response(b"HTTP/1.0 200 OK\r\nContent-Length: 1").keeps_open


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 1", "Content-Length: 2"),
        ("Content-Length: x",),
        ("Content-Length: \u00b2",),
        ("Content-Length: 1\u00a0",),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("no colon",),
        (" folded: 1",),
        ("a : b",),
    ],
)
def test_a_head_that_two_readers_may_read_differently_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(BadHead):
        response(*lines)


@pytest.mark.parametrize("line", ["HTTP/2 200", "ICY 200 OK", "HTTP/1.1 2x0", ""])
def test_a_status_line_of_something_else_is_refused(line: str) -> None:
    with pytest.raises(BadHead):
        read_response(line.encode())


def test_a_head_never_grows_without_end() -> None:
    check_room(b"x" * MAX_HEAD_BYTES)
    with pytest.raises(BadHead):
        check_room(b"x" * (MAX_HEAD_BYTES + 1))
