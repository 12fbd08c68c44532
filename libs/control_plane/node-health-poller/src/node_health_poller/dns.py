"""Finding nodes by SRV records.

aiodns asks within the event loop, needs no thread a query, and is what aiohttp resolves with.
"""

import asyncio
from collections.abc import Sequence
from typing import Self

import aiodns
import pycares

from node_health_poller.ports import Unanswered

TIMEOUT_S = 5.0
_NOBODY = frozenset({aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA})


class SrvResolver:
    """A `ServiceResolver`; priorities and weights are of no account, every member counts."""

    def __init__(
        self, nameservers: Sequence[str] | None = None, *, port: int | None = None
    ) -> None:
        """Prepare; without `nameservers` the system's are asked. Needs a running event loop."""
        self._resolver = aiodns.DNSResolver(
            nameservers, timeout=TIMEOUT_S / 2, tries=2, udp_port=port, tcp_port=port
        )

    async def resolve(self, name: str) -> tuple[tuple[str, int], ...]:
        """Return host and port of each; raises Unanswered."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                result = await self._resolver.query_dns(name, "SRV")
        except TimeoutError as error:
            raise Unanswered(f"no name server answered for {name} in {TIMEOUT_S:g} s") from error
        except aiodns.error.DNSError as error:
            if error.args[0] in _NOBODY:
                return ()
            raise Unanswered(f"{name}: {error.args[-1]}") from error
        found = [record.data for record in result.answer]
        return tuple(
            sorted(
                (srv.target.rstrip("."), srv.port)
                for srv in found
                if isinstance(srv, pycares.SRVRecordData) and srv.target != "."
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what is underway."""
        await self._resolver.close()
