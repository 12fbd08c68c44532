"""One control plane: this node stays registered there, and its messages arrive in order."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from node_registration.messages import NodeMessages
from node_registration.ports import ControlPlaneClient
from node_registration.types import (
    Failure,
    Forgotten,
    NotRegistered,
    RefusalCode,
    Refused,
    Registered,
    RegistrationEvent,
    RegistrationSettings,
    Unreachable,
)
from pool_registry_types import ModelReport, PoolSnapshot
from service_discovery_types import HeartbeatResponse

_Response = TypeVar("_Response")


class LinkState(StrEnum):
    """Whether the control plane knows this node."""

    UNREGISTERED = "unregistered"
    REGISTERED = "registered"
    LEFT = "left"


class LinkStimulus(StrEnum):
    """What changes it."""

    WELCOMED = "welcomed"
    DISOWNED = "disowned"
    LEAVING = "leaving"


TRANSITIONS = MappingProxyType(
    {
        (LinkState.UNREGISTERED, LinkStimulus.WELCOMED): LinkState.REGISTERED,
        (LinkState.UNREGISTERED, LinkStimulus.LEAVING): LinkState.LEFT,
        (LinkState.REGISTERED, LinkStimulus.DISOWNED): LinkState.UNREGISTERED,
        (LinkState.REGISTERED, LinkStimulus.LEAVING): LinkState.LEFT,
    }
)
"""Nothing else moves it: an answer that comes after the farewell finds no row."""

_DISOWNING = frozenset({RefusalCode.NODE_UNKNOWN, RefusalCode.STALE_INCARNATION})


class ControlPlaneLink:
    """Carries what this node says to one control plane, one message at a time.

    A message is numbered when it leaves, so that none overtakes another. Nothing here raises:
    what was not heard is said again by the next heartbeat.
    """

    def __init__(
        self,
        client: ControlPlaneClient,
        messages: NodeMessages,
        settings: RegistrationSettings,
        *,
        on_event: Callable[[RegistrationEvent], None],
        chance: Callable[[], float],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._messages = messages
        self._settings = settings
        self._on_event = on_event
        self._chance = chance
        self._pause = pause
        self._state = LinkState.UNREGISTERED
        self._registered = asyncio.Event()
        self._unregistered = asyncio.Event()
        self._unregistered.set()
        self._in_order = asyncio.Lock()
        self._told: Failure | None = None
        self._unproven = 0
        """Registrations in a row after which nothing was heard: two of them are no good sign."""

    @property
    def url(self) -> str:
        """The base URL of the control plane."""
        return self._client.url

    @property
    def state(self) -> LinkState:
        """Whether the control plane knows this node."""
        return self._state

    @property
    def is_registered(self) -> bool:
        """The control plane knows this node, as far as we know."""
        return self._state is LinkState.REGISTERED

    async def registered(self) -> None:
        """Return once the control plane knows this node, however long that takes."""
        await self._registered.wait()

    async def keep_registered(self) -> None:
        """Register, and again whenever the control plane has lost this node; never returns."""
        while True:
            await self._unregistered.wait()
            failures = max(0, self._unproven - 1)
            if failures:
                # Several control planes behind one address, say, of which only one was told.
                await self._pause(backoff_s(self._settings, failures, self._chance()))
            while not await self._register():
                failures += 1
                await self._pause(backoff_s(self._settings, failures, self._chance()))

    async def heartbeat(
        self,
        pools: tuple[PoolSnapshot, ...],
        models: tuple[ModelReport, ...],
        *,
        timestamp_ms: int,
    ) -> HeartbeatResponse | None:
        """Say how the node is; None: it was not heard, and `is_registered` says whether it can."""
        answer = await self._tell(
            lambda: self._client.heartbeat(
                self._messages.heartbeat(pools, models, timestamp_ms=timestamp_ms)
            )
        )
        return answer if isinstance(answer, HeartbeatResponse) else None

    async def pool_ready(self, pool: PoolSnapshot) -> bool:
        """Say at once what the next heartbeat would say; False: it was not heard."""
        answer = await self._tell(lambda: self._client.pool_ready(self._messages.pool_ready(pool)))
        return answer is not None and not isinstance(answer, Refused | Unreachable)

    async def deregister(self, reason: str | None) -> bool:
        """Say goodbye, once; nothing is said any more afterwards. False: it was not heard."""
        if not self._step(LinkStimulus.LEAVING):
            return False
        async with self._in_order:
            answer = await self._client.deregister(self._messages.deregister(reason))
        return not isinstance(answer, Refused | Unreachable)

    async def _register(self) -> bool:
        """Return True if there is nothing more to do."""
        async with self._in_order:
            if self._state is not LinkState.UNREGISTERED:
                return True
            answer = await self._client.register(self._messages.register())
        if isinstance(answer, Refused | Unreachable):
            self._tell_failure(answer)
            return False
        if self._step(LinkStimulus.WELCOMED):
            self._told = None
            self._unproven += 1
            self._on_event(Registered(self.url))
        return True

    async def _tell(
        self, send: Callable[[], Awaitable[_Response | Failure]]
    ) -> _Response | Failure | None:
        """Send a message to a control plane that knows us; None where it does not."""
        async with self._in_order:
            if not self.is_registered:
                return None
            answer = await send()
            if _says(answer, RefusalCode.STALE_INCARNATION):
                # Something newer of ours was heard on another channel, a poll say: speak last.
                answer = await send()
        if isinstance(answer, Refused) and answer.code in _DISOWNING:
            self._disown(answer)
        elif not isinstance(answer, Unreachable):
            self._unproven = 0
        return answer

    def _disown(self, refusal: Refused) -> None:
        if not self._step(LinkStimulus.DISOWNED):
            return
        if refusal.code is RefusalCode.NODE_UNKNOWN:
            self._on_event(Forgotten(self.url))
        else:
            self._tell_failure(refusal)

    def _tell_failure(self, failure: Failure) -> None:
        if failure != self._told:
            self._told = failure
            self._on_event(NotRegistered(self.url, failure))

    def _step(self, stimulus: LinkStimulus) -> bool:
        to = TRANSITIONS.get((self._state, stimulus))
        if to is None:
            return False
        self._state = to
        for event, state in (
            (self._registered, LinkState.REGISTERED),
            (self._unregistered, LinkState.UNREGISTERED),
        ):
            if to is state:
                event.set()
            else:
                event.clear()
        return True


def backoff_s(settings: RegistrationSettings, failures: int, chance: float) -> float:
    """Return the pause after so many failures: doubling, capped, its upper half by chance."""
    doublings = min(failures - 1, 32)
    ceiling_ms: int = min(settings.backoff_first_ms * 2**doublings, settings.backoff_max_ms)
    return ceiling_ms * (0.5 + 0.5 * chance) / 1000


def _says(answer: object, code: RefusalCode) -> bool:
    return isinstance(answer, Refused) and answer.code is code
