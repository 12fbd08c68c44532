"""A stream that was begun and that nobody waits for: its end is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from worker_http.exchange import STREAMED, Response

if TYPE_CHECKING:
    from worker_http.client import EngineClient
    from worker_http.connection import Departure, EngineConnection

OnStreamEnd: TypeAlias = "Callable[[Response | Exception, Departure | None], None]"
"""Told the response or why there is none, and in that case of our leaving the connection."""


class BegunStream:
    """Gives the connection back when the response is whole, and leaves it when there is none."""

    __slots__ = ("_client", "_connection", "_on_end")

    def __init__(
        self, client: EngineClient, connection: EngineConnection, on_end: OnStreamEnd
    ) -> None:
        self._client = client
        self._connection = connection
        self._on_end = on_end

    def ended(self, told: Response | Exception) -> None:
        """Take how the exchange has ended."""
        connection = self._connection
        if told is STREAMED:  # As good as always, and told apart at once.
            self._client.keep(connection, after_stream=True)
            self._on_end(told, None)
        elif isinstance(told, Response):
            self._client.keep(connection, after_stream=told.streamed)
            self._on_end(told, None)
        else:
            self._on_end(told, self._client.leave(connection))

    def cancel(self) -> Departure:
        """Close the connection at once; `on_end` is not told."""
        return self._client.leave(self._connection)
