"""Finding nodes by SRV records.

aiodns asks within the event loop; the resolver of the system has no call for these records.
"""

import asyncio
from collections.abc import Sequence
from typing import Self

import aiodns
import pycares

from node_health_poller.ports import Unanswered

_TRIES = 2
_NOBODY = frozenset({aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA})


class SrvResolver:
    """A `ServiceResolver`; priorities and weights are of no account, every member counts."""

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        port: int | None = None,
        timeout_ms: int = 5_000,
    ) -> None:
        """Prepare; without `nameservers` the system's are asked. Needs a running event loop."""
        self._timeout_s = timeout_ms / 1000
        self._resolver = aiodns.DNSResolver(
            nameservers,
            timeout=self._timeout_s / _TRIES,
            tries=_TRIES,
            udp_port=port,
            tcp_port=port,
        )

    async def resolve(self, name: str) -> tuple[tuple[str, int], ...]:
        """Return host and port of each; raises Unanswered."""
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await self._resolver.query_dns(name, "SRV")
        except TimeoutError as error:
            raise Unanswered(f"no name server answered for {name}") from error
        except aiodns.error.DNSError as error:
            if error.args[0] in _NOBODY:
                return ()
            raise Unanswered(f"{name}: {error.args[-1]}") from error
        members = {
            (record.data.target.rstrip("."), record.data.port)
            for record in result.answer
            if isinstance(record.data, pycares.SRVRecordData)
        }
        # The root as target says that the service is decidedly not offered (RFC 2782).
        return tuple(sorted((host, port) for host, port in members if host))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what is underway."""
        await self._resolver.close()
