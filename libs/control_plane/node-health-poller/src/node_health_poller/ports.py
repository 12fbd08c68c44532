"""What this library needs from others."""

from typing import Protocol

from node_health_poller.types import NodePolled


class Unanswered(Exception):
    """A question was not answered; the message says why and holds no secret."""


class NodeClient(Protocol):
    """Asks a node how it is."""

    async def ask(self, url: str) -> NodePolled:
        """Ask; ends in bounded time. Raises Unanswered."""


class ServiceResolver(Protocol):
    """Finds the members of a service by name."""

    async def resolve(self, name: str) -> tuple[tuple[str, int], ...]:
        """Return host and port of each; none is an answer, too. Raises Unanswered."""
