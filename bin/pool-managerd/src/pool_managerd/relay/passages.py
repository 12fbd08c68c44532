"""The requests that are on their way to an engine, whichever way they came in."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from adapter_api import TASK_HEADER, EnginePath, find_path
from api_types import ApiError, ErrorCode
from local_pool_manager import Lease, PoolError, ReplicaEndpoint
from narration_core import get_logger
from pool_managerd.relay.heads import Headers, request_head
from pool_managerd.relay.kept import KeptLinks
from pool_managerd.relay.link import End, EngineLink
from pool_managerd.relay.ports import Engines

ROUTE_NAME = "/v2/pools/{pool_id}/replicas/{replica_id}/engine/{path}"
CONNECT_TIMEOUT_S = 2.0

_TASK = re.compile(r"[!-.0-~]{1,128}/[1-9][0-9]{0,8}")


MAX_KEPT = 256
"""Connections kept to one engine, whatever number of slots it names."""


class KnownEngine:
    """What is known of one engine as long as it serves: where it is, and the ways to it."""

    __slots__ = ("authority", "endpoint", "host", "kept", "port", "serves")

    def __init__(self, endpoint: ReplicaEndpoint) -> None:
        parts = urlsplit(endpoint.url)
        self.endpoint = endpoint
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.authority = parts.netloc
        """What stands for both in a request."""
        # llama.cpp has a thread for each slot and a few more, and an idle connection takes one.
        self.kept: KeptLinks[EngineLink] = KeptLinks(min(endpoint.slots, MAX_KEPT))
        self.serves = True
        """Until another engine has been met in its place, or none."""


@dataclass(slots=True, eq=False)
class Passage:
    """One request on its way, until its engine has let go of it."""

    engine: KnownEngine
    path: EnginePath
    lease: Lease | None = None
    link: EngineLink | None = None
    revoked: str | None = None
    counted_bytes: int = 0

    def head(
        self, headers: Headers, *, query: str, correlation_id: str, body_bytes: int | None
    ) -> bytes:
        """Return the request's head for the engine; `body_bytes` None means a body in chunks."""
        path = self.path
        return request_head(
            path.method,
            f"{path.path}?{query}" if query else path.path,
            headers,
            authority=self.engine.authority,
            engine_key=self.engine.endpoint.engine_key,
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
            pool_id = self.engine.endpoint.pool_id
            return ApiError(ErrorCode.POOL_DRAINING, self.revoked, pool_id=pool_id)
        return self._engine_lost(link.fault or "closed the connection unanswered")

    def unreachable(self, error: Exception) -> ApiError:
        """Tell the log that the engine takes no connection, and return what the client is told."""
        pool_id = self.engine.endpoint.pool_id
        get_logger(component="relay").warning(
            "engine_unreachable", pool_id=pool_id, error=str(error)
        )
        return self._engine_lost("takes no connection")

    def _engine_lost(self, what: str) -> ApiError:
        at = self.engine.endpoint
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
        self._known: dict[tuple[str, str], KnownEngine] = {}
        self._running: set[Passage] = set()
        self._passed_bytes: defaultdict[str, int] = defaultdict(int)
        """By pool, since they were last counted."""
        self._claims = 0

    def admit(self, pool_id: str, replica_id: str, method: str, path: str, task: str) -> Passage:
        """Check a request and lease its slot; raises ApiError and PoolError.

        Whoever is let in calls `close` once, however it ends.
        """
        endpoint = self._engines.endpoint(pool_id, replica_id)
        known = find_path(endpoint.engine, method, path)
        if known is None:
            raise ApiError(ErrorCode.NOT_FOUND, f"no adapter uses this path of {endpoint.engine}")
        passage = Passage(self._engine_at(endpoint), known)
        if known.generates:
            if not _TASK.fullmatch(task):
                raise ApiError(
                    ErrorCode.INVALID_PARAMS,
                    f"a generating request needs {TASK_HEADER}: id/attempt",
                )
            self._lease(passage, task)
        self._running.add(passage)
        return passage

    def admit_again(self, engine: KnownEngine, path: EnginePath, task: str) -> Passage | None:
        """Lease a slot for a request like one before; None, with nothing done: ask as for any."""
        passage = Passage(engine, path)
        try:
            lease = self._lease(passage, task)
        except PoolError:
            return None
        self._running.add(passage)
        if lease.generation != engine.endpoint.generation:
            self.close(passage)
            return None
        return passage

    def close(self, passage: Passage) -> None:
        """The engine has let go, or was never reached: the slot is free again."""
        if passage not in self._running:
            return
        self._running.discard(passage)
        link, passage.link = passage.link, None  # No circle is left to the collector.
        if link is not None:
            new_bytes = link.passed_bytes - passage.counted_bytes
            self._passed_bytes[passage.engine.endpoint.pool_id] += new_bytes
        if passage.lease is not None:
            self._engines.release(passage.lease)

    def look(self) -> None:
        """Forget the engines that have gone, and close what is kept open to them."""
        for (pool_id, replica_id), known in tuple(self._known.items()):
            try:
                serving = self._engines.endpoint(pool_id, replica_id)
            except PoolError:
                self._forget(known)
            else:
                if serving != known.endpoint:
                    self._forget(known)

    def close_kept(self) -> None:
        """Close the connections that wait for a request: none comes any more."""
        for known in tuple(self._known.values()):
            self._forget(known)

    def revoke(self, reason: str) -> None:
        """End every generating request."""
        for passage in tuple(self._running):
            if passage.lease is not None:
                passage.revoke(reason)

    def count(self) -> None:
        """Count the bytes that have passed since the last call."""
        for passage in self._running:
            if passage.link is not None:
                passed_bytes = passage.link.passed_bytes
                new_bytes = passed_bytes - passage.counted_bytes
                self._passed_bytes[passage.engine.endpoint.pool_id] += new_bytes
                passage.counted_bytes = passed_bytes
        passed, self._passed_bytes = self._passed_bytes, defaultdict(int)
        for pool_id, passed_bytes in passed.items():
            self._count(pool_id, passed_bytes)

    def _engine_at(self, endpoint: ReplicaEndpoint) -> KnownEngine:
        at = endpoint.pool_id, endpoint.replica_id
        known = self._known.get(at)
        if known is not None:
            if known.endpoint == endpoint:
                return known
            self._forget(known)
        known = self._known[at] = KnownEngine(endpoint)
        return known

    def _forget(self, known: KnownEngine) -> None:
        known.serves = False
        known.kept.close()
        del self._known[known.endpoint.pool_id, known.endpoint.replica_id]

    def _lease(self, passage: Passage, task: str) -> Lease:
        # A request is the claim: the same task may come again while an engine still lets go.
        self._claims += 1
        at = passage.engine.endpoint
        lease = passage.lease = self._engines.acquire(
            at.pool_id, at.replica_id, f"{task}#{self._claims}", on_revoked=passage.revoke
        )
        return lease
