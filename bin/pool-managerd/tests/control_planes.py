"""A control plane that remembers what nodes say to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class ControlPlane:
    """Takes all messages, and forgets a node when it is told to."""

    url: str = ""
    heard: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    interval_ms: int = 10_000
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> "AsyncIterator[ControlPlane]":
        plane = cls()
        app = web.Application()
        app.router.add_post("/v2/nodes/register", plane._register)
        app.router.add_post("/v2/nodes/{id}/heartbeat", plane._heartbeat)
        app.router.add_delete("/v2/nodes/{id}", plane._deregister)
        app.router.add_post("/v2/callbacks/pool-ready", plane._callback)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        plane.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield plane
        finally:
            await runner.cleanup()

    async def hears(
        self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """Wait for a message, also one that came before."""
        async with asyncio.timeout(20), self._news:
            while True:
                for said, message, _ in self.heard:
                    if said == kind and fits(message):
                        return message
                await self._news.wait()

    async def _note(self, kind: str, request: web.Request) -> dict[str, Any]:
        message = await request.json()
        async with self._news:
            self.heard.append((kind, message, request.headers.get("Authorization")))
            self._news.notify_all()
        return message

    async def _register(self, request: web.Request) -> web.Response:
        message = await self._note("register", request)
        self.known.add(message["node_id"])
        answer = {"success": True, "message": "welcome", "node_id": message["node_id"]}
        return web.json_response({**answer, "heartbeat_interval_ms": self.interval_ms})

    async def _heartbeat(self, request: web.Request) -> web.Response:
        message = await self._note("heartbeat", request)
        if message["node_id"] not in self.known:
            unknown = {"code": "NODE_UNKNOWN", "message": "who?", "retriable": False}
            return web.json_response({**unknown, "correlation_id": "x"}, status=404)
        return web.json_response({"success": True, "next_heartbeat_ms": self.interval_ms})

    async def _deregister(self, request: web.Request) -> web.Response:
        await self._note("deregister", request)
        return web.json_response({"success": True})

    async def _callback(self, request: web.Request) -> web.Response:
        await self._note("callback", request)
        return web.json_response({"success": True})
