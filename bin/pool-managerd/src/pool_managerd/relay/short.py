"""The relay's short way past aiohttp: read here, or not even that, and then an `Exchange`.

What it does not know or may not let in goes to aiohttp as it came, so that both are told in one
place; and what it lets in, it checks, passes on and ends as `relay.Relay` does.
"""

import re
import time
from typing import cast

from aiohttp import web

from adapter_api import TASK_HEADER
from http_shell import (
    ANSWER_HEADERS,
    CORRELATION_ID,
    Edge,
    ShortConnection,
    ShortExchange,
    ShortRequest,
)
from narration_core import new_correlation_id
from pool_managerd.relay.exchange import Exchange
from pool_managerd.relay.known import KnownHeads, learn
from pool_managerd.relay.passages import Passage, Passages
from pool_managerd.relay.ports import Standing

_METHODS = frozenset({"GET", "POST"})
_ID = "[A-Za-z0-9][A-Za-z0-9._-]*"
_PATH = re.compile(f"/v2/pools/({_ID})/replicas/({_ID})/engine(/[A-Za-z0-9/_-]*)")
"""In the form in which nothing is to be decoded; there is no query."""


class ShortRelay:
    """Fulfils `http_shell.ShortWay`, and recalls what it has met."""

    def __init__(self, passages: Passages, edge: Edge, gate: Standing) -> None:
        self._passages = passages
        self._edge = edge
        self._gate = gate
        self._standing = gate.standing
        self._heads = KnownHeads()

    def knows(self, method: str, path: str) -> bool:
        """Whether it is for an engine."""
        return method in _METHODS and _PATH.fullmatch(path) is not None

    def recall(self, data: bytes, connection: ShortConnection) -> ShortExchange | None:
        """Begin to relay a request whose like was let in before; see `http_shell.Recall`."""
        since_s = time.monotonic()
        found = self._heads.find(data)
        if found is None:
            return None
        known, values, body = found
        if known.standing is not self._standing() or not known.engine.serves:
            return None
        task = values[known.task_at].decode("ascii")
        passage = self._passages.admit_again(known.engine, known.path, task)
        if passage is None:
            return None
        at = known.correlation_at
        correlation_id = values[at] if at is not None else new_correlation_id().encode("ascii")
        exchange = Exchange(self._passages, self._edge, connection, known.target, since_s)
        exchange.correlation_id = correlation_id
        if known.trace_at is not None:
            exchange.traceparent = values[known.trace_at]
        values.append(correlation_id)
        exchange.send(passage, known.template % known.choose(values) + body)
        return exchange

    def begin(self, request: ShortRequest, connection: ShortConnection) -> ShortExchange | None:
        """Begin to relay."""
        since_s = time.monotonic()
        found = _PATH.fullmatch(request.path)
        if found is None:
            return None
        seen = cast("web.Request", request)
        self._edge.correlate(seen)
        try:
            self._edge.check(seen)
        except Exception:  # noqa: BLE001 - aiohttp's way meets the same and answers it
            return None
        exchange = Exchange(self._passages, self._edge, connection, request.path, since_s)
        exchange.correlation_id = request[CORRELATION_ID].encode("ascii")
        exchange.traceparent = request.headers.get("traceparent", "").encode("ascii")
        exchange.answer_headers = request[ANSWER_HEADERS]
        exchange.method = request.method
        try:
            passage = self._passages.admit(
                *(found[1], found[2]),
                *(request.method, found[3], request.headers.get(TASK_HEADER, "")),
            )
        except Exception as error:  # noqa: BLE001 - as at the edge: all of them end here
            exchange.refuse(error)
            return exchange
        try:
            head = self._head(request, passage)
        except Exception as error:  # noqa: BLE001
            self._passages.close(passage)
            exchange.refuse(error)
            return exchange
        exchange.send(passage, head + request.content)
        return exchange

    def _head(self, request: ShortRequest, passage: Passage) -> bytes:
        """Return the head for the engine, and remember it for the next request of this form."""
        head = passage.head(
            tuple(request.headers.items()),
            query="",
            correlation_id=request[CORRELATION_ID],
            body_bytes=len(request.content),
        )
        if passage.path.generates:
            standing = self._standing()
            learnt = learn(
                *(request.head, request.headers, head),
                engine=passage.engine,
                path=passage.path,
                standing=standing,
            )
            if learnt is not None and self._gate.opens_to(request.headers):
                self._heads.keep(*learnt)
        return head
