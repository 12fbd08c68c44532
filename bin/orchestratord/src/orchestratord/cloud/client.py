"""Asking a node over HTTP, with the node's own error as ours."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from api_types import EVENT_STREAM, JSON, ApiError, ErrorBody, ErrorCode
from narration_core import current_correlation_id
from orchestratord.access import Access
from service_registry import NodeLease
from worker_http import SseDecoder, SseEvent

TIMEOUT_S = 5.0
SILENCE_S = 60.0
"""How long an event stream of a node may say nothing: it has a comment line more often."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024

_Answer = TypeVar("_Answer", bound=BaseModel)


class NodeClient:
    """Calls nodes with the service token.

    `on_outcome` is told whether a node could be reached; `on_request` of each request by node and
    path, whether it was answered (`ok`), `refused`, or its node was `unreachable`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        access: Access,
        *,
        on_outcome: Callable[[str, bool], None],
        on_request: Callable[[str, str, str], None],
    ) -> None:
        self._session = session
        self._access = access
        self._on_outcome = on_outcome
        self._on_request = on_request

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        access: Access,
        *,
        on_outcome: Callable[[str, bool], None],
        on_request: Callable[[str, str, str], None],
    ) -> AsyncIterator[Self]:
        """Keep connections to nodes as long as the context is open."""
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            yield cls(session, access, on_outcome=on_outcome, on_request=on_request)

    async def get(self, node: NodeLease, path: str, answer: type[_Answer]) -> _Answer:
        """Ask. Raises ApiError: what the node says, or NODE_UNAVAILABLE."""
        return await self.call("GET", node, path, answer)

    async def post(
        self,
        node: NodeLease,
        path: str,
        answer: type[_Answer],
        body: BaseModel | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> _Answer:
        """Tell. Raises ApiError: what the node says, or NODE_UNAVAILABLE."""
        return await self.call("POST", node, path, answer, body, timeout_s=timeout_s)

    async def call(
        self,
        method: str,
        node: NodeLease,
        path: str,
        answer: type[_Answer],
        body: BaseModel | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> _Answer:
        """Call with any method. Raises ApiError: what the node says, or NODE_UNAVAILABLE."""
        raw = await self._exchange(method, node, path, body, timeout_s=timeout_s)
        with _of_our_api(node):
            return answer.model_validate_json(raw)

    async def delete(self, node: NodeLease, path: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Delete, where the answer has no body. Raises ApiError."""
        await self._exchange("DELETE", node, path, None, timeout_s=timeout_s)

    @asynccontextmanager
    async def events(
        self, node: NodeLease, path: str, body: BaseModel
    ) -> AsyncIterator[AsyncGenerator[SseEvent]]:
        """Open an event stream with a POST. Raises ApiError, also while it is read."""
        with self._reaching(node, path):
            async with self._request(
                "POST",
                node,
                path,
                body,
                accept=EVENT_STREAM,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S),
            ) as response:
                self._answered(node, path, response.status)
                if response.status >= 400:
                    raise _error_in(await _read(response), response.status, node)
                self._on_outcome(node.node_id, True)
                yield _events_of(response)

    async def _exchange(
        self,
        method: str,
        node: NodeLease,
        path: str,
        body: BaseModel | None,
        *,
        timeout_s: float,
    ) -> bytes:
        with self._reaching(node, path):
            async with (
                asyncio.timeout(timeout_s),
                self._request(method, node, path, body, accept=JSON) as response,
            ):
                status, raw = response.status, await _read(response)
        self._on_outcome(node.node_id, True)
        self._answered(node, path, status)
        if status >= 400:
            raise _error_in(raw, status, node)
        return raw

    def _answered(self, node: NodeLease, path: str, status: int) -> None:
        self._on_request(node.node_id, path, "ok" if status < 400 else "refused")

    @contextmanager
    def _reaching(self, node: NodeLease, path: str) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._on_outcome(node.node_id, False)
            self._on_request(node.node_id, path, "unreachable")
            raise ApiError(
                ErrorCode.NODE_UNAVAILABLE,
                f"node {node.node_id} does not answer ({type(error).__name__})",
            ) from error

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        node: NodeLease,
        path: str,
        body: BaseModel | None,
        *,
        accept: str,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": accept}
        if (token := self._access.token()) is not None:
            headers["Authorization"] = f"Bearer {token}"
        if (correlation_id := current_correlation_id()) is not None:
            headers["X-Correlation-Id"] = correlation_id
        if body is not None:
            headers["Content-Type"] = JSON
            options["data"] = body.model_dump_json().encode()
        url = node.address.rstrip("/") + path
        tls = self._access.client_context() if url.startswith("https:") else True
        async with self._session.request(
            method, url, ssl=tls, headers=headers, allow_redirects=False, **options
        ) as response:
            yield response


async def _read(response: aiohttp.ClientResponse) -> bytes:
    raw = await response.content.read(MAX_ANSWER_BYTES)
    while len(raw) < MAX_ANSWER_BYTES and (part := await response.content.readany()):
        raw += part
    return raw


async def _events_of(response: aiohttp.ClientResponse) -> AsyncGenerator[SseEvent]:
    decoder = SseDecoder()
    while True:
        async with asyncio.timeout(SILENCE_S):
            chunk = await response.content.readany()
        if not chunk:
            return
        for event in decoder.feed(chunk):
            yield event


@contextmanager
def _of_our_api(node: NodeLease) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise ApiError(
            ErrorCode.NODE_UNAVAILABLE,
            f"node {node.node_id} answered with something that is not of our API",
        ) from error


def _error_in(raw: bytes, status: int, node: NodeLease) -> ApiError:
    try:
        return error_of(ErrorBody.model_validate_json(raw), node)
    except ValidationError:
        return ApiError(
            ErrorCode.NODE_UNAVAILABLE,
            f"node {node.node_id} answered {status} with something that is not of our API",
        )


def error_of(told: ErrorBody, node: NodeLease) -> ApiError:
    """Return what a node says is wrong, with the node's name."""
    at_its_door = told.code in (ErrorCode.MISSING_TOKEN, ErrorCode.BAD_TOKEN, ErrorCode.FORBIDDEN)
    if at_its_door and told.policy_label is None:  # That names the rule of a network policy.
        # It is we whom the node does not know, not our caller.
        return ApiError(
            ErrorCode.NODE_UNAVAILABLE, f"node {node.node_id} does not accept our token"
        )
    return ApiError(
        told.code,
        f"node {node.node_id}: {told.message}",
        hint=told.hint,
        retriable=told.retriable,
        retry_after_ms=told.retry_after_ms,
        policy_label=told.policy_label,
        engine=told.engine,
        pool_id=None if told.pool_id is None else f"{node.node_id}:{told.pool_id}",
        candidates=told.candidates,
    )
