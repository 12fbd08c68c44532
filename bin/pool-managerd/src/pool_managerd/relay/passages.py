"""The requests that are on their way to an engine, whichever way they came in."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from adapter_api import TASK_HEADER, EnginePath, find_path
from api_types import ApiError, ErrorCode
from local_pool_manager import Lease, ReplicaEndpoint
from narration_core import get_logger
from pool_managerd.relay.heads import Headers, request_head
from pool_managerd.relay.link import End, EngineLink
from pool_managerd.relay.ports import Engines

ROUTE_NAME = "/v2/pools/{pool_id}/replicas/{replica_id}/engine/{path}"
CONNECT_TIMEOUT_S = 2.0

_TASK = re.compile(r"[!-.0-~]{1,128}/[1-9][0-9]{0,8}")


@dataclass(slots=True, eq=False)
class Passage:
    """One request on its way, until its engine has let go of it."""

    endpoint: ReplicaEndpoint
    path: EnginePath
    lease: Lease | None = None
    link: EngineLink | None = None
    revoked: str | None = None
    counted_bytes: int = 0

    @property
    def address(self) -> tuple[str, int]:
        """Where the engine listens."""
        host, port, _ = _address(self.endpoint.url)
        return host, port

    def head(
        self, headers: Headers, *, query: str, correlation_id: str, body_bytes: int | None
    ) -> bytes:
        """Return the request's head for the engine; `body_bytes` None means a body in chunks."""
        path = self.path
        return request_head(
            path.method,
            f"{path.path}?{query}" if query else path.path,
            headers,
            authority=_address(self.endpoint.url)[2],
            engine_key=self.endpoint.engine_key,
            correlation_id=correlation_id,
            body_bytes=body_bytes,
        )

    def revoke(self, reason: str) -> None:
        """End the request: the deadline of a drain has passed."""
        self.revoked = reason
        if self.link is not None:
            self.link.end(End.REVOKED)

    def failure(self, link: EngineLink) -> ApiError:
        """Return what the client is told when it ended before anything was passed on."""
        if self.revoked is not None:
            pool_id = self.endpoint.pool_id
            return ApiError(ErrorCode.POOL_DRAINING, self.revoked, pool_id=pool_id)
        return self._engine_lost(link.fault or "closed the connection unanswered")

    def unreachable(self, error: Exception) -> ApiError:
        """Tell the log that the engine takes no connection, and return what the client is told."""
        pool_id = self.endpoint.pool_id
        get_logger(component="relay").warning(
            "engine_unreachable", pool_id=pool_id, error=str(error)
        )
        return self._engine_lost("takes no connection")

    def _engine_lost(self, what: str) -> ApiError:
        at = self.endpoint
        return ApiError(
            ErrorCode.WORKER_RESET,
            f"the engine of {at.pool_id}/{at.replica_id} {what}",
            engine=at.engine,
            pool_id=at.pool_id,
        )


class Passages:
    """Lets requests in; a generating one is a lease on a slot as long as its engine has it."""

    def __init__(self, engines: Engines, *, count: Callable[[str, int], None]) -> None:
        self._engines = engines
        self._count = count
        self._running: set[Passage] = set()
        self._claims = 0

    def admit(self, pool_id: str, replica_id: str, method: str, path: str, task: str) -> Passage:
        """Check a request and lease its slot; raises ApiError and PoolError.

        Whoever is let in calls `close` once, however it ends.
        """
        endpoint = self._engines.endpoint(pool_id, replica_id)
        known = find_path(endpoint.engine, method, path)
        if known is None:
            raise ApiError(ErrorCode.NOT_FOUND, f"no adapter uses this path of {endpoint.engine}")
        passage = Passage(endpoint, known)
        if known.generates:
            self._lease(passage, task)
        self._running.add(passage)
        return passage

    def close(self, passage: Passage) -> None:
        """The engine has let go, or was never reached: the slot is free again."""
        if passage not in self._running:
            return
        self._count_of(passage)
        self._running.discard(passage)
        passage.link = None  # Which knows of the passage: no circle is left to the collector.
        if passage.lease is not None:
            self._engines.release(passage.lease)

    def revoke(self, reason: str) -> None:
        """End every generating request."""
        for passage in tuple(self._running):
            if passage.lease is not None:
                passage.revoke(reason)

    def count(self) -> None:
        """Count the bytes that have passed since the last call."""
        for passage in self._running:
            self._count_of(passage)

    def _lease(self, passage: Passage, task: str) -> None:
        if not _TASK.fullmatch(task):
            raise ApiError(
                ErrorCode.INVALID_PARAMS, f"a generating request needs {TASK_HEADER}: id/attempt"
            )
        # A connection is the claim: the same task may come again while an engine still lets go.
        self._claims += 1
        passage.lease = self._engines.acquire(
            passage.endpoint.pool_id,
            passage.endpoint.replica_id,
            f"{task}#{self._claims}",
            on_revoked=passage.revoke,
        )

    def _count_of(self, passage: Passage) -> None:
        if passage.link is not None:
            passed_bytes = passage.link.passed_bytes
            self._count(passage.endpoint.pool_id, passed_bytes - passage.counted_bytes)
            passage.counted_bytes = passed_bytes


@lru_cache(maxsize=256)
def _address(url: str) -> tuple[str, int, str]:
    """Return host, port, and what stands for both in a request."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0, parts.netloc
