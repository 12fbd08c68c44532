"""The service: a loop for each node, and one that knows which nodes there are."""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self

from node_health_poller.dns import SrvResolver
from node_health_poller.http import HttpNodeClient, new_session
from node_health_poller.ports import NodeClient, ServiceResolver, Unanswered
from node_health_poller.types import (
    CachedStatus,
    Freshness,
    NodePolled,
    PollFailed,
    PollResult,
    PollSettings,
    freshness,
    pause_s,
)


def monotonic_ms() -> int:
    """Return the time of a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000


@dataclass(slots=True)
class _Target:
    """One node that is polled."""

    asking: asyncio.Task[None]
    last: NodePolled | None = None
    heard_ms: int | None = None
    reason: str | None = "not asked yet"
    failures: int = 0

    @property
    def answering(self) -> bool:
        """The last poll was answered."""
        return self.reason is None


class NodeHealthPoller:
    """Asks nodes how they are, and tells a callback; made by `running` or, with fakes, directly."""

    def __init__(
        self,
        settings: PollSettings,
        on_result: Callable[[PollResult], None],
        client: NodeClient,
        *,
        resolver: ServiceResolver | None = None,
        also: Callable[[], Iterable[str]] = tuple,
        now_ms: Callable[[], int] = monotonic_ms,
        chance: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._on_result = on_result
        self._client = client
        self._resolver = resolver
        self._also = also
        self._now_ms = now_ms
        self._chance = chance
        self._pause = pause
        self._targets: dict[str, _Target] = {}
        self._by_dns: set[str] = set()
        self._look_up_ms = 0
        self._at_once = asyncio.Semaphore(settings.concurrency)
        self.dns_trouble: str | None = None
        """Why the last look-up failed; the nodes found before are polled all the same."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        settings: PollSettings,
        on_result: Callable[[PollResult], None],
        *,
        token: Callable[[], str | None] = lambda: None,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
        resolver: ServiceResolver | None = None,
        also: Callable[[], Iterable[str]] = tuple,
        now_ms: Callable[[], int] = monotonic_ms,
        chance: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> AsyncIterator[Self]:
        """Poll as long as the context is open.

        `also` names more nodes and is asked again and again: those that we could not reach lately,
        say, whose heartbeats do not tell whether we can now. Without a `resolver` the name servers
        of the system find the members of `dns_name`.
        """
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(new_session())
            if settings.dns_name is not None and resolver is None:
                resolver = await stack.enter_async_context(SrvResolver())
            poller = cls(
                settings,
                on_result,
                HttpNodeClient(session, timeout_ms=settings.timeout_ms, token=token, tls=tls),
                resolver=resolver,
                also=also,
                now_ms=now_ms,
                chance=chance,
                pause=pause,
            )
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            loop = tasks.create_task(poller.keep_polling(), name="node-poller")
            try:
                yield poller
            finally:
                loop.cancel()

    def status(self, url: str) -> CachedStatus | None:
        """Return what is known of a node; None: it is not polled."""
        target = self._targets.get(url.rstrip("/"))
        if target is None:
            return None
        age_ms = None if target.heard_ms is None else self._now_ms() - target.heard_ms
        worth = freshness(self._settings, age_ms)
        last = None if worth is Freshness.ABSENT else target.last
        return CachedStatus(url.rstrip("/"), worth, age_ms, last, target.reason)

    def statuses(self) -> tuple[CachedStatus, ...]:
        """Return what is known of every polled node, by URL."""
        known = (self.status(url) for url in sorted(self._targets))
        return tuple(status for status in known if status is not None)

    async def keep_polling(self) -> None:
        """Poll for ever; what the callback raises ends it."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._follow(tasks)
                if await self._look_up():
                    self._follow(tasks)
                await self._pause(self._settings.interval_ms / 1000)

    def _follow(self, tasks: asyncio.TaskGroup) -> None:
        """Begin with nodes that are new, end with those that nobody names any more."""
        named = (*self._settings.urls, *self._by_dns, *self._also())
        wanted = {url.rstrip("/") for url in named}
        for url in self._targets.keys() - wanted:
            self._targets.pop(url).asking.cancel()
        for url in sorted(wanted - self._targets.keys()):
            self._targets[url] = _Target(
                tasks.create_task(self._keep_asking(url), name=f"poll {url}")
            )

    async def _look_up(self) -> bool:
        """Ask the name service when it is time; True: it has answered."""
        name, now_ms = self._settings.dns_name, self._now_ms()
        if self._resolver is None or name is None or now_ms < self._look_up_ms:
            return False
        self._look_up_ms = now_ms + self._settings.dns_interval_ms
        try:
            found = await self._resolver.resolve(name)
        except Unanswered as error:
            self.dns_trouble = str(error)
            return False
        self.dns_trouble = None
        # A name service that has lost a node for a moment ends nothing: what answers stays.
        answering = {url for url in self._by_dns if self._targets[url].answering}
        self._by_dns = answering | {
            f"{self._settings.dns_scheme}://{host}:{port}" for host, port in found
        }
        return True

    async def _keep_asking(self, url: str) -> None:
        while True:
            target = self._targets[url]
            async with self._at_once:
                await self._ask(url, target)
            await self._pause(pause_s(self._settings, target.failures, self._chance()))

    async def _ask(self, url: str, target: _Target) -> None:
        began_ms = self._now_ms()
        try:
            polled = await self._client.ask(url)
        except Unanswered as error:
            target.failures += 1
            target.reason = str(error)
            node_id = None if target.last is None else target.last.node.node_id
            self._on_result(PollFailed(url, str(error), node_id, target.failures))
        else:
            now_ms = self._now_ms()
            polled = replace(polled, took_ms=now_ms - began_ms)
            target.last, target.heard_ms = polled, now_ms
            target.failures, target.reason = 0, None
            self._on_result(polled)
