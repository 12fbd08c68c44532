"""Asking a node over HTTP, with the node's own error as ours."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from api_types import ApiError, ErrorBody, ErrorCode
from orchestratord.access import Access
from service_registry import NodeLease

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024

_Answer = TypeVar("_Answer", bound=BaseModel)


class NodeClient:
    """Calls nodes with the service token; `on_outcome` is told whether a node could be reached."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        access: Access,
        *,
        on_outcome: Callable[[str, bool], None],
    ) -> None:
        self._session = session
        self._access = access
        self._on_outcome = on_outcome

    @classmethod
    @asynccontextmanager
    async def running(
        cls, access: Access, *, on_outcome: Callable[[str, bool], None]
    ) -> AsyncIterator[Self]:
        """Keep connections to nodes as long as the context is open."""
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            yield cls(session, access, on_outcome=on_outcome)

    async def get(self, node: NodeLease, path: str, answer: type[_Answer]) -> _Answer:
        """Ask. Raises ApiError: what the node says, or NODE_UNAVAILABLE."""
        return await self._call("GET", node, path, answer)

    async def post(
        self, node: NodeLease, path: str, answer: type[_Answer], body: BaseModel | None = None
    ) -> _Answer:
        """Tell. Raises ApiError: what the node says, or NODE_UNAVAILABLE."""
        return await self._call("POST", node, path, answer, body)

    async def _call(
        self,
        method: str,
        node: NodeLease,
        path: str,
        answer: type[_Answer],
        body: BaseModel | None = None,
    ) -> _Answer:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, raw = await self._exchange(method, node, path, body)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._on_outcome(node.node_id, False)
            raise ApiError(
                ErrorCode.NODE_UNAVAILABLE,
                f"node {node.node_id} does not answer ({type(error).__name__})",
            ) from error
        self._on_outcome(node.node_id, True)
        try:
            if status < 400:
                return answer.model_validate_json(raw)
            told = ErrorBody.model_validate_json(raw)
        except ValidationError as error:
            raise ApiError(
                ErrorCode.NODE_UNAVAILABLE,
                f"node {node.node_id} answered {status} with something that is not of our API",
            ) from error
        raise _error_of(told, node)

    async def _exchange(
        self, method: str, node: NodeLease, path: str, body: BaseModel | None
    ) -> tuple[int, bytes]:
        token = self._access.token()
        options: dict[str, Any] = {"headers": {"Accept": "application/json"}}
        if token is not None:
            options["headers"]["Authorization"] = f"Bearer {token}"
        if body is not None:
            options["headers"]["Content-Type"] = "application/json"
            options["data"] = body.model_dump_json().encode()
        url = node.address.rstrip("/") + path
        tls = self._access.client_context() if url.startswith("https:") else True
        async with self._session.request(
            method, url, ssl=tls, allow_redirects=False, **options
        ) as response:
            raw = await response.content.read(MAX_ANSWER_BYTES)
            while len(raw) < MAX_ANSWER_BYTES and (part := await response.content.readany()):
                raw += part
            return response.status, raw


def _error_of(told: ErrorBody, node: NodeLease) -> ApiError:
    if told.code in (ErrorCode.MISSING_TOKEN, ErrorCode.BAD_TOKEN, ErrorCode.FORBIDDEN):
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
        engine=told.engine,
        pool_id=None if told.pool_id is None else f"{node.node_id}:{told.pool_id}",
        candidates=told.candidates,
    )
