"""What is looked at again and again: silent streams, busy nodes, breakers, changed certificates."""

import asyncio
from collections.abc import Callable, Iterator

from api_types import ApiError
from narration_core import get_logger
from orchestratord.access import Access
from orchestratord.cloud.asking import Asking
from orchestratord.cloud.calls import NodeCalls
from orchestratord.config import Settings
from service_registry import LeaseState, ServiceRegistry

_INTERVAL_S = 0.25
_SLOW_TURNS = 4
"""Every so many turns comes what costs more."""


class Upkeep:
    """A loop beside the feed, which has nothing of its own to wait for."""

    def __init__(
        self,
        registry: ServiceRegistry,
        calls: NodeCalls,
        asking: Asking,
        access: Access,
        settings: Settings,
    ) -> None:
        self._registry = registry
        self._calls = calls
        self._asking = asking
        self._access = access
        self._silence_s = settings.node_timeout_ms / 1000
        self._to_ask: set[str] = set()
        self._to_ask_now: set[str] = set()
        self._log = get_logger(component="upkeep")

    def ask_soon(self, node_id: str) -> None:
        """Have a node report before its next heartbeat: it said something that we did not know."""
        self._to_ask.add(node_id)

    def ask_now(self, node_id: str) -> None:
        """Find out at once whether a node is there: no task should have to."""
        self._to_ask_now.add(node_id)

    def unreachable(self) -> Iterator[str]:
        """Name the nodes that are heard and could not be called: heartbeats do not end that."""
        for node in self._registry.nodes():
            if node.online and not node.reachable:
                yield node.address

    async def run(
        self, tell_breakers: Callable[[], bool], look_at_credentials: Callable[[], None]
    ) -> None:
        """Go on for ever."""
        turn = 0
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(_INTERVAL_S)
                turn += 1
                tell_breakers()
                self.end_silent_streams()
                asked, self._to_ask_now = self._to_ask_now, set()
                if turn % _SLOW_TURNS == 0:
                    self._access.renew()
                    look_at_credentials()
                    asked |= self._to_ask
                    self._to_ask = set()
                for node_id in asked:
                    group.create_task(self._ask(node_id), name=f"ask {node_id}")

    def end_silent_streams(self) -> None:
        """Give up what has gone silent together with its node.

        A suspected node is no reason: then it is most likely we who hear nothing.
        """
        for node_id in self._calls.nodes():
            node = self._registry.get(node_id)
            if node is None or node.state is LeaseState.OFFLINE:
                ended = self._calls.lose_silent(node_id, after_s=self._silence_s)
                if ended:
                    self._log.warning("streams_given_up", node_id=node_id, streams=ended)

    async def _ask(self, node_id: str) -> None:
        try:
            await self._asking.ask(node_id)
        except ApiError as error:
            self._log.info("node_unanswered", node_id=node_id, reason=error.message)
