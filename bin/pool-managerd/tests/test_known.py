"""Requests that are recognised are treated as those that are read."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_api import EnginePath
from http_shell import ShortReader, ShortRequest
from pool_managerd.relay.heads import request_head
from pool_managerd.relay.known import MAX_HEADS, KnownHeads, learn
from pool_managerd.relay.passages import KnownEngine
from pool_managerd.testing import OneEngine

LINE = "POST /v2/pools/pool/replicas/r0/engine/completion HTTP/1.1"
ENGINE = KnownEngine(OneEngine("http://127.0.0.1:5", key="50%b").at)
PATH = EnginePath("POST", "/completion", generates=True)
USUAL = (
    "Host: node:9200",
    "Authorization: Bearer token",
    "X-Llorch-Task: {task}",
    "X-Correlation-Id: {correlation}",
    "traceparent: {trace}",
    "Content-Type: application/json",
    "Content-Length: {length}",
)


@dataclass(frozen=True)
class Values:
    """What differs between requests."""

    task: str = "a-task/1"
    correlation: str = "mine"
    trace: str = "00-1-2-01"
    body: bytes = b"{}"

    def request(self, *lines: str, length: int | None = None) -> bytes:
        text = "\r\n".join((LINE, *lines, "\r\n")).format(
            task=self.task,
            correlation=self.correlation,
            trace=self.trace,
            length=len(self.body) if length is None else length,
        )
        return text.encode() + self.body


OTHER = Values("another/23", "theirs", "00-3-4-00", b"[1, 2, 3]")


def read(data: bytes) -> ShortRequest | None:
    """Read a request in the usual way."""
    request = ShortReader(lambda _method, _path: True).read(data, None)
    return request if isinstance(request, ShortRequest) else None


def for_engine(request: ShortRequest, correlation_id: str) -> bytes:
    """The head that the usual way writes for the engine."""
    return request_head(
        *("POST", "/completion", tuple(request.headers.items())),
        authority=ENGINE.authority,
        engine_key=ENGINE.endpoint.engine_key,
        correlation_id=correlation_id,
        body_bytes=len(request.content),
    )


def met(data: bytes) -> KnownHeads:
    """What is known when this request has been met."""
    heads, request = KnownHeads(), read(data)
    if request is not None:
        given = request.headers.get("X-Correlation-Id", "made")
        learnt = learn(
            *(request.head, request.headers, for_engine(request, given)),
            engine=ENGINE,
            path=PATH,
            standing=None,
        )
        if learnt is not None:
            heads.keep(*learnt)
    return heads


def test_a_request_like_one_before_is_recognised_with_what_is_its_own() -> None:
    found = met(Values().request(*USUAL)).find(OTHER.request(*USUAL))
    assert found is not None
    known, values, body = found
    assert (known.engine, known.path, known.target) == (ENGINE, PATH, LINE.split()[1])
    assert values[known.task_at] == b"another/23"
    assert (known.correlation_at, known.trace_at) == (1, 2)
    assert values[1:3] == [b"theirs", b"00-3-4-00"]
    assert body == OTHER.body


unusual_lines = st.sampled_from(
    [
        "Host: other",
        "Authorization: Bearer another",
        "Accept: 100%b",
        "x-llorch-task: {task}",
        "content-length: {length}",
        "Content-Length: 0{length}",
        "X-Correlation-Id: with a space",
        "x-correlation-id: {correlation}",
        "Traceparent: {trace}",
        "traceparent:{trace}",
        "Connection: keep-alive",
        "X-Note: X-Llorch-Task: {task}",
        "Cookie: a=b",
    ]
)
heads_of_lines = st.lists(st.one_of(st.sampled_from(USUAL), unusual_lines), min_size=2, max_size=9)


@given(heads_of_lines, heads_of_lines)
def test_what_is_recognised_goes_to_the_engine_as_if_it_had_been_read(
    first: list[str], second: list[str]
) -> None:
    for lines in (first, second):
        asked = OTHER.request(*lines)
        found = met(Values().request(*first)).find(asked)
        if found is None:
            continue
        usual = read(asked)
        assert usual is not None
        known, values, body = found
        at = known.correlation_at
        correlation_id = values[at] if at is not None else b"made"
        head = known.template % known.choose([*values, correlation_id])
        # What the edge takes over, `accept_correlation_id` holds.
        assert at is not None or "X-Correlation-Id" not in usual.headers
        assert head == for_engine(usual, correlation_id.decode())
        assert body == usual.content
        assert values[known.task_at].decode() == usual.headers["X-Llorch-Task"]


@pytest.mark.parametrize(
    "asked",
    [
        OTHER.request(*USUAL)[:-1],
        OTHER.request(*USUAL) + b"G",
        OTHER.request(*USUAL, length=3),
        OTHER.request(*USUAL, "X-More: 1"),
        OTHER.request(*USUAL[1:]),
        OTHER.request(*reversed(USUAL)),
        OTHER.request(*USUAL).replace(b"Bearer token", b"Bearer tokem"),
        OTHER.request(*USUAL).replace(b"POST", b"GET "),
        OTHER.request(*USUAL).replace(b"/r0/", b"/r1/"),
        Values(task="no attempt").request(*USUAL),
        Values(task="none/0").request(*USUAL),
        Values(correlation="x" * 129).request(*USUAL),
        b"",
        b"GET",
    ],
)
def test_what_differs_in_anything_else_is_read(asked: bytes) -> None:
    assert met(Values().request(*USUAL)).find(asked) is None


@pytest.mark.parametrize(
    "lines",
    [
        USUAL[:2] + USUAL[3:],  # no task
        USUAL[:-1],  # no length
        (*USUAL[:3], "x-correlation-id: {correlation}", *USUAL[4:]),
    ],
)
def test_what_could_not_be_told_apart_is_not_remembered(lines: tuple[str, ...]) -> None:
    data = Values().request(*lines)
    assert met(data).find(data) is None


def test_what_is_remembered_does_not_grow_without_end() -> None:
    heads, request = KnownHeads(), read(Values().request(*USUAL))
    assert request is not None
    learnt = learn(
        *(request.head, request.headers, for_engine(request, "mine")),
        engine=ENGINE,
        path=PATH,
        standing=None,
    )
    assert learnt is not None
    cut, known = learnt
    heads.keep(cut, known)
    for number in range(MAX_HEADS):
        heads.keep((b"%d" % number,), known)
    assert heads.find(Values().request(*USUAL)) is None
