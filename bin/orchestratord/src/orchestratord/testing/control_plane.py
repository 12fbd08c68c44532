"""CLOUD itself on a real socket, and a client that speaks for nodes and for people."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import BaseModel

from http_shell import serving
from orchestratord.access import Access
from orchestratord.cloud import CLOUD
from orchestratord.config import Settings
from orchestratord.http import create_app, create_edge, create_short_way
from orchestratord.testing.nodes import ScriptedNode
from orchestratord.testing.shell import Answer
from program_config import BindAddress

POLL_S = 0.01


@dataclass
class ControlPlane:
    """A running CLOUD."""

    url: str
    session: aiohttp.ClientSession
    token: str | None
    key: str | None
    tls: ssl.SSLContext | None = None

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        settings: Settings,
        *,
        token: str | None = None,
        key: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> "AsyncIterator[ControlPlane]":
        """Serve as long as the context is open; nodes show `token`, people `key`."""
        access = Access(settings)
        async with (
            CLOUD.running(settings, access) as composed,
            serving(
                create_app(composed.services, settings),
                (edge := create_edge(composed.services, settings, access)),
                BindAddress("127.0.0.1", 0),
                shutdown_timeout_s=0.5,
                ssl_context=access.server_context(),
                short_way=create_short_way(composed.services, settings, edge),
            ) as address,
            aiohttp.ClientSession() as session,
        ):
            scheme = "http" if tls is None else "https"
            yield cls(f"{scheme}://{address}", session, token, key, tls)

    async def ask(
        self, method: str, path: str, body: Any = None, *, credential: str | None = None
    ) -> Answer:
        """Call a route with this credential, or with none."""
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            plain = isinstance(body, BaseModel)
            data = body.model_dump_json() if plain else json.dumps(body)
        async with self.session.request(
            method, self.url + path, data=data, headers=headers, ssl=self.tls or True
        ) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def get(self, path: str) -> Any:
        """Fetch a document as a client."""
        answer = await self.ask("GET", path, credential=self.key)
        assert answer.status == 200, answer
        return answer.json()

    async def say(self, method: str, path: str, message: Any = None) -> Answer:
        """Speak as a node or its operator."""
        return await self.ask(method, path, message, credential=self.token)

    async def nodes(self) -> dict[str, Any]:
        """Return how the nodes stand, by id."""
        listed = (await self.say("GET", "/v2/nodes")).json()
        return {node["node_id"]: node for node in listed["nodes"]}

    async def welcome(self, node: ScriptedNode) -> None:
        """Register a node and have it report: tasks may go there from then on."""
        registered = await self.say("POST", "/v2/nodes/register", node.messages.register())
        assert registered.status == 200, registered
        await self.report(node)

    async def report(self, node: ScriptedNode) -> None:
        """Have a node say how it is."""
        message = node.messages.heartbeat(node.pool())
        told = await self.say("POST", f"/v2/nodes/{node.node_id}/heartbeat", message)
        assert told.status == 200, told

    async def until(self, fits: Callable[[Any], bool], path: str) -> Any:
        """Fetch a document until it shows something."""
        async with asyncio.timeout(10):
            while not fits(document := await self.get(path)):  # noqa: ASYNC110 - over the wire
                await asyncio.sleep(POLL_S)
        return document

    async def run(self, **task: Any) -> list[tuple[str, dict[str, Any]]]:
        """Run a task to its end; returns the frames but `metrics`, or the refusal."""
        async with self.stream(**task) as frames:
            return [frame async for frame in frames]

    @asynccontextmanager
    async def stream(self, **task: Any) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
        """Open the stream of a task."""
        headers = {"Accept": "text/event-stream"}
        if self.key is not None:
            headers["X-API-Key"] = self.key
        async with self.session.post(
            f"{self.url}/v2/tasks",
            json={"prompt": "say it", **task},
            headers=headers,
            ssl=self.tls or True,
        ) as answer:
            assert answer.status == 200, await answer.text()
            yield _frames(answer)


async def _frames(
    answer: aiohttp.ClientResponse,
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    event = ""
    async for line in answer.content:
        if line.startswith(b"event: "):
            event = line[7:].decode().strip()
        elif line.startswith(b"data: ") and event != "metrics":
            yield event, json.loads(line[6:])
