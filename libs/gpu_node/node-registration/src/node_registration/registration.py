"""The service: one link for each control plane."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self
from uuid import UUID, uuid4

from node_registration.http import CALLBACK_PATH, HttpControlPlane, new_session, split_callback_url
from node_registration.link import ControlPlaneLink
from node_registration.messages import NodeMessages
from node_registration.ports import ControlPlaneClient
from node_registration.types import (
    NodeDescription,
    Refused,
    RegistrationEvent,
    RegistrationSettings,
    Unreachable,
)
from pool_registry_types import PoolSnapshot
from service_discovery_types import RegisterRequest

DEREGISTER_TIMEOUT_MS = 3_000


class NodeRegistration:
    """Keeps this node registered with every control plane; made by `running`."""

    def __init__(
        self,
        messages: NodeMessages,
        links: tuple[ControlPlaneLink, ...],
        make_client: Callable[[str, str], ControlPlaneClient],
    ) -> None:
        self._messages = messages
        self._links = links
        self._make_client = make_client
        self._callback: ControlPlaneClient | None = None

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        settings: RegistrationSettings,
        describe: Callable[[], NodeDescription],
        *,
        token: Callable[[], str | None] = lambda: None,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
        on_event: Callable[[RegistrationEvent], None] = lambda _: None,
        incarnation: UUID | None = None,
        chance: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> AsyncIterator[Self]:
        """Register, as long as the context is open; does not wait for any control plane.

        Leaving the context says no goodbye: a node that stops calls `deregister` before.
        """
        messages = NodeMessages(settings.node_id, incarnation or uuid4(), describe)
        async with new_session() as session, asyncio.TaskGroup() as tasks:

            def make_client(base: str, callback_path: str = CALLBACK_PATH) -> HttpControlPlane:
                return HttpControlPlane(
                    session,
                    base,
                    timeout_ms=settings.timeout_ms,
                    token=token,
                    tls=tls,
                    callback_path=callback_path,
                )

            links = tuple(
                ControlPlaneLink(
                    make_client(url),
                    messages,
                    settings,
                    on_event=on_event,
                    chance=chance,
                    pause=pause,
                )
                for url in settings.control_planes
            )
            registration = cls(messages, links, make_client)
            registration.set_callback_url(settings.callback_url)
            loops = [
                tasks.create_task(link.keep_registered(), name=f"register {link.url}")
                for link in links
            ]
            try:
                yield registration
            finally:
                for loop in loops:
                    loop.cancel()

    @property
    def links(self) -> tuple[ControlPlaneLink, ...]:
        """One for each control plane, for the heartbeats."""
        return self._links

    @property
    def incarnation(self) -> UUID:
        """What tells this start of the node from every other."""
        return self._messages.incarnation

    def register_request(self) -> RegisterRequest:
        """Make what `GET /v2/node` answers: a polled node says what a registering one says."""
        return self._messages.register()

    def set_callback_url(self, url: str | None) -> None:
        """Send callbacks there as well (`POST /v2/callbacks/register`); None: nowhere else."""
        self._callback = None
        if url is None:
            return
        base, path = split_callback_url(url)
        if path != CALLBACK_PATH or base not in {link.url for link in self._links}:
            self._callback = self._make_client(base, path)

    async def pool_ready(self, pool: PoolSnapshot) -> int:
        """Tell every control plane of a pool at once; returns how many have heard it.

        Ends in bounded time; who has not heard it learns it with the next heartbeat.
        """
        calls = [link.pool_ready(pool) for link in self._links]
        if self._callback is not None:
            calls.append(self._call_back(self._callback, pool))
        return sum(await asyncio.gather(*calls))

    async def deregister(
        self, reason: str | None = None, *, timeout_ms: int = DEREGISTER_TIMEOUT_MS
    ) -> int:
        """Say goodbye to every control plane; returns how many have heard it in time."""

        async def farewell(link: ControlPlaneLink) -> bool:
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    return await link.deregister(reason)
            except TimeoutError:
                return False

        return sum(await asyncio.gather(*map(farewell, self._links)))

    async def _call_back(self, client: ControlPlaneClient, pool: PoolSnapshot) -> bool:
        answer = await client.pool_ready(self._messages.pool_ready(pool))
        return not isinstance(answer, Refused | Unreachable)
