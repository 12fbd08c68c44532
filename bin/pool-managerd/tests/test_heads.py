"""The heads that a relay rewrites, as bytes."""

import pytest

from pool_managerd.relay.heads import (
    HEAD_ENCODING,
    MAX_HEAD_BYTES,
    BadHead,
    Framing,
    request_head,
    response_head,
    split_head,
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
        "Connection: close",
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
    assert every in response(f"X-Odd: {text}").for_client


def test_an_answer_that_begins_like_another_is_its_own() -> None:
    lines = ("Content-Length: 2", "A: b")
    first, second = response(*lines), response(*lines, keep_alive=False)
    assert b"Connection: close" not in first.for_client
    assert b"Connection: close" in second.for_client
    for _ in range(2):
        with pytest.raises(BadHead):
            response("Content-Length: 1", "Content-Length: 2")


def test_a_body_without_a_length_goes_on_in_chunks() -> None:
    assert "Transfer-Encoding: chunked" in lines_of(
        ("Transfer-Encoding", "chunked"), body_bytes=None
    )


def response(*lines: str, keep_alive: bool = True):
    head = "\r\n".join(("HTTP/1.1 200 OK", *lines)).encode(HEAD_ENCODING)
    return response_head(head, correlation_id="mine", keep_alive=keep_alive)


def test_a_response_keeps_its_framing_and_loses_its_connection() -> None:
    head = response("Transfer-Encoding: chunked", "Connection: close", "Keep-Alive: 5", "A: b")
    assert head.for_client == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\nX-Correlation-Id: mine\r\n\r\n"
    )
    assert head.framing == Framing(chunked=True)


def test_a_body_that_ends_with_its_connection_ends_the_clients_as_well() -> None:
    assert b"Connection: close" in response("A: b").for_client
    assert b"Connection: close" in response("Content-Length: 1", keep_alive=False).for_client


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
        response_head(line.encode(), correlation_id="mine", keep_alive=True)


def test_a_head_is_cut_off_once_it_is_whole_and_never_grows_without_end() -> None:
    assert split_head(b"HTTP/1.1 200 OK\r\nA: b\r\n") is None
    assert split_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody") == (
        b"HTTP/1.1 200 OK\r\nA: b",
        b"body",
    )
    with pytest.raises(BadHead):
        split_head(b"x" * (MAX_HEAD_BYTES + 1))


def test_a_body_is_whole_by_its_own_framing() -> None:
    chunked = Framing(chunked=True)
    assert chunked.is_whole(5, b"0\r\n\r\n")
    assert chunked.is_whole(99, b"\r\n0\r\n\r\n")
    assert not chunked.is_whole(99, b"\n10\r\n\r\n")
    assert not chunked.is_whole(0, b"")
    assert Framing(length_bytes=3).is_whole(3, b"")
    assert not Framing(length_bytes=3).is_whole(2, b"")
