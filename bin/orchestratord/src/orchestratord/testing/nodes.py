"""A node that does what the test says: its relay, its routes, and its messages."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from api_types import PoolList
from pool_registry_types import HealthState, HealthStatus, PoolSnapshot, ReplicaSnapshot
from service_registry.testing import MadeUpNode

MODEL = "recital"
_ENGINE = "/v2/pools/{pool_id}/replicas/{replica_id}/engine"
_PROPS = {
    "build_info": "b1",
    "model_path": "/recital.gguf",
    "total_slots": 2,
    "default_generation_settings": {"n_ctx": 4096},
    "chat_template": "",
    "chat_template_caps": {},
}


@dataclass
class ScriptedNode:
    """One pool `chat` with one replica of two slots; it says three words and stops."""

    messages: MadeUpNode
    words: tuple[str, ...] = ("one", " two", " three")
    refusals: list[tuple[int, str]] = field(default_factory=list)
    """Status and code for the next generating requests, one each."""
    silent_after: int | None = None
    """After so many words it says nothing more, until `go_on` is set."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """A generating request has said all that it says at once."""
    pause_s: float = 0.0
    """Before each word."""
    generation: int = 1
    draining: bool = False
    drain_deadline_ms: int | None = None
    claims: list[str] = field(default_factory=list)
    """X-Llorch-Task of each generating request."""
    credentials: set[str | None] = field(default_factory=set)
    """What was shown to it."""

    @property
    def node_id(self) -> str:
        """Its id."""
        return self.messages.node_id

    @classmethod
    @asynccontextmanager
    async def running(
        cls, node_id: str = "gpu-a", *, tls: ssl.SSLContext | None = None
    ) -> "AsyncIterator[ScriptedNode]":
        """Serve as long as the context is open."""
        node = cls(MadeUpNode(node_id))
        runner = web.AppRunner(node._app(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        scheme = "http" if tls is None else "https"
        node.messages.address = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield node
        finally:
            node.go_on.set()
            await runner.cleanup()

    def pool(self) -> PoolSnapshot:
        """Return the status of its pool."""
        ready = not self.draining
        state = HealthState.READY if ready else HealthState.DRAINING
        replica = ReplicaSnapshot(
            replica_id="r0",
            health=HealthStatus(state=state, live=True, ready=ready, draining=self.draining),
            slots_total=2,
            slots_free=2,
            model_id=MODEL,
            ctx_max=4096,
            generation=self.generation,
        )
        return PoolSnapshot(
            pool_id="chat",
            live=True,
            ready=ready,
            draining=self.draining,
            slots_total=2,
            slots_free=2,
            active_leases=0,
            vram_total_bytes=0,
            vram_free_bytes=0,
            engine="llamacpp",
            model_id=MODEL,
            state=state,
            replicas=(replica,),
        )

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v2/node", self._node)
        app.router.add_get("/v2/pools", self._pools)
        app.router.add_post("/v2/pools/chat/drain", self._drain)
        app.router.add_post("/v2/pools/chat/resume", self._resume)
        app.router.add_get("/v2/gpus", self._gpus)
        app.router.add_get(f"{_ENGINE}/props", self._props)
        app.router.add_get(f"{_ENGINE}/health", self._health)
        app.router.add_get(f"{_ENGINE}/slots", self._slots)
        app.router.add_post(f"{_ENGINE}/completion", self._complete)
        return app

    async def _node(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.Response(
            text=self.messages.register().model_dump_json(), content_type="application/json"
        )

    async def _pools(self, _request: web.Request) -> web.Response:
        listed = PoolList.of([self.pool()])
        return web.Response(text=listed.model_dump_json(), content_type="application/json")

    async def _drain(self, request: web.Request) -> web.Response:
        self._note(request)
        self.draining = True
        self.drain_deadline_ms = (await request.json())["deadline_ms"]
        return web.Response(
            status=202, text=self.pool().model_dump_json(), content_type="application/json"
        )

    async def _resume(self, request: web.Request) -> web.Response:
        self._note(request)
        self.draining = False
        return web.Response(text=self.pool().model_dump_json(), content_type="application/json")

    async def _gpus(self, _request: web.Request) -> web.Response:
        return web.json_response({"gpus": [], "device_policy": "cpu", "reason": "none here"})

    async def _props(self, _request: web.Request) -> web.Response:
        return web.json_response(_PROPS)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _slots(self, _request: web.Request) -> web.Response:
        return web.json_response([{"is_processing": False}, {"is_processing": False}])

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        self.claims.append(request.headers["X-Llorch-Task"])
        if self.refusals:
            status, code = self.refusals.pop(0)
            body = {"code": code, "message": "no", "retriable": True, "correlation_id": "c"}
            return web.json_response(body, status=status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, word in enumerate(self.words):
            if number == self.silent_after:
                self.begun.set()
                await self.go_on.wait()
            await asyncio.sleep(self.pause_s)
            await _say(response, content=word, tokens=[number], stop=False)
        await _say(
            response,
            content="",
            stop=True,
            stop_type="eos",
            tokens_predicted=len(self.words),
            tokens_evaluated=1,
        )
        return response

    def _note(self, request: web.Request) -> None:
        self.credentials.add(request.headers.get("Authorization"))


async def _say(response: web.StreamResponse, **event: object) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
