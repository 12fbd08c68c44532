"""The routes that most requests are for, on the short way past aiohttp.

A request that is refused before its handler is asked goes to aiohttp as it came, so that every
refusal has one place where it is written.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias

from aiohttp import web
from pydantic import BaseModel

from api_types import Route, parse_json
from http_shell import (
    ANSWER_HEADERS,
    CORRELATION_HEADER,
    Call,
    Edge,
    JsonAnswer,
    ShortConnection,
    ShortExchange,
    ShortRequest,
    answer_bytes,
    answer_type_of,
    check_body,
    offered_by,
)
from narration_core import bind_correlation, new_correlation_id
from node_types import ID_PATTERN
from orchestratord.http.gate import PASSED, Passed
from orchestratord.http.handlers import Context
from orchestratord.http.short_stream import ShortStream
from orchestratord.http.sse import Streamed

Begun: TypeAlias = web.Response | BaseModel | Streamed | None
Begin: TypeAlias = Callable[[Context, Call[Any, Any]], Begun]
"""Decides on an answer without awaiting; None, before anything is done, leaves it to aiohttp.

A model is answered as JSON, with status 200.
"""
_REMEMBERED_PATHS = 2_048


class ShortRoute:
    """A route with what begins to answer it.

    `read` reads the body where that is not left to the model of the route, and `read_head` what
    the handler wants of the headers: once for all requests with the same. Both raise ApiError.
    """

    __slots__ = ("begin", "read", "read_head", "route")

    def __init__(
        self,
        route: Route,
        begin: Begin,
        read: Callable[[bytes], Any] | None = None,
        read_head: Callable[[Mapping[str, str]], Any] | None = None,
    ) -> None:
        self.route = route
        self.begin = begin
        self.read = read or _reading(route.request)
        self.read_head = read_head


def _reading(model: type[BaseModel] | None) -> Callable[[bytes], Any]:
    return (lambda _raw: None) if model is None else partial(parse_json, model)


_Offering: TypeAlias = tuple[ShortRoute, tuple[str, ...]]
"""With the content types that it offers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What a head led to: what need not be asked again for the same head."""

    short: ShortRoute
    path: Mapping[str, str]
    query: Any
    answer_type: str | None
    said: Any
    """What the route's own headers say."""
    passed: Passed
    max_bytes: int
    """Of a body; 0 where there was none, since its type was not looked at then."""

    def holds_for(self, size_bytes: int) -> bool:
        """Whether a request with such a body is let in as well, by the tokens that count now."""
        fits = 0 < size_bytes <= self.max_bytes if self.max_bytes else size_bytes == 0
        return fits and (self.passed.lasting or self.passed.holds())


class ShortRoutes:
    """Fulfils `http_shell.ShortWay`."""

    def __init__(self, context: Context, edge: Edge, routes: Sequence[ShortRoute]) -> None:
        self._context = context
        self._edge = edge
        self._plain: dict[tuple[str, str], _Offering] = {
            (short.route.method, short.route.path): (short, offered_by(short.route))
            for short in routes
            if not short.route.path_parameters
        }
        self._with_id: list[tuple[str, re.Pattern[str], _Offering]] = [
            (short.route.method, _pattern(short.route.path), (short, offered_by(short.route)))
            for short in routes
            if short.route.path_parameters
        ]
        self._said: JsonAnswer | None = None
        """The last answer that was a document: nodes are told the same one each time."""
        self._find = lru_cache(_REMEMBERED_PATHS)(self._look)

    def knows(self, method: str, path: str) -> bool:
        """Whether there is a short route for it."""
        return self._find(method, path) is not None

    def begin(self, request: ShortRequest, connection: ShortConnection) -> ShortExchange | None:
        """Begin to answer."""
        since_s = time.monotonic()
        seen: Any = request
        if request.form.plain:
            correlation_id, trace = new_correlation_id(), None
        else:
            correlation_id, trace = self._edge.correlate(seen)
        size_bytes = len(request.content)
        known: _Known | None = request.form.passage
        try:
            if known is None or not known.holds_for(size_bytes):
                known = self._let_in(request)
            short = known.short
            body = short.read(request.content)
        except Exception:  # noqa: BLE001 - aiohttp's way meets the same and answers it
            return None
        answer_headers = {CORRELATION_HEADER: correlation_id, **known.passed.headers}
        call = Call(
            request=seen,
            path=known.path,
            query=known.query,
            answer_type=known.answer_type,
            body=body,
            size_bytes=size_bytes,
            identity=known.passed.name,
            correlation_id=correlation_id,
            answer_headers=answer_headers,
            said=known.said,
        )

        def failed(error: Exception) -> web.Response:
            with bind_correlation(correlation_id, trace):
                return self._edge.answer(error, request.path, correlation_id)

        with bind_correlation(correlation_id, trace):
            try:
                answer: Begun = short.begin(self._context, call)
            except Exception as error:  # noqa: BLE001 - as at the edge: all of them end here
                answer = failed(error)
            if answer is None:
                return None
            route = short.route
            counted = partial(self._edge.count, route.path, method=route.method, since_s=since_s)
            if isinstance(answer, Streamed):
                stream = ShortStream(
                    self._context,
                    answer,
                    connection,
                    answer_headers=answer_headers,
                    since_s=since_s,
                    failed=failed,
                    counted=counted,
                )
                stream.start()
                return stream
        if isinstance(answer, BaseModel):
            if self._said is None or self._said.document is not answer:
                self._said = JsonAnswer(answer)
            connection.transport.write(self._said.written(answer_headers))
            counted(status=200)
        else:
            answer.headers.update(answer_headers)
            connection.transport.write(answer_bytes(answer))
            counted(status=answer.status)
        connection.answered()
        return _ANSWERED

    def _let_in(self, request: ShortRequest) -> "_Known":
        """Check a head that is not known yet, or may be refused by now; raises ApiError."""
        found = self._find(request.method, request.path)
        if found is None:
            raise AssertionError("nobody asks for a route that is not known")
        (short, offered), path = found
        seen: Any = request
        request[ANSWER_HEADERS] = {}
        self._edge.check(seen)
        check_body(seen, max_bytes=self._context.max_body_bytes)
        query = short.route.query
        known = _Known(
            short=short,
            path=path,
            query=None if query is None else query(),
            answer_type=answer_type_of(seen, offered),
            said=None if short.read_head is None else short.read_head(request.headers),
            passed=request[PASSED],
            max_bytes=self._context.max_body_bytes if request.content else 0,
        )
        request.keep(known)
        return known

    def _look(self, method: str, path: str) -> tuple[_Offering, dict[str, str]] | None:
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain, {}
        for wanted, pattern, short in self._with_id:
            if method == wanted and (found := pattern.fullmatch(path)) is not None:
                return short, found.groupdict()
        return None


class _Answered:
    """An exchange that was over at once."""

    def lost(self) -> None:
        """Nothing is under way."""


_ANSWERED = _Answered()


_FORMS = {
    "task_id": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "node_id": ID_PATTERN.strip("^$"),
}
"""What stands in a path where it is in its canonical form."""


def _pattern(path: str) -> re.Pattern[str]:
    """Make what a path with canonical ids looks like; one in any other form is aiohttp's."""
    return re.compile(re.sub(r"\{(\w+)\}", lambda found: _group(found[1]), path))


def _group(name: str) -> str:
    return f"(?P<{name}>{_FORMS[name]})"
