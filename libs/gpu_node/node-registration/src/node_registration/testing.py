"""A control plane that answers as a test wants, and pauses that end when it says so."""

import asyncio
from collections import deque
from typing import TypeVar

from node_registration.types import Failure, NodeDescription
from node_types import NodeCapabilities
from service_discovery_types import (
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    NodeMessage,
    PoolReadyCallback,
    PoolReadyResponse,
    RegisterRequest,
    RegisterResponse,
)

_Response = TypeVar("_Response")


def description() -> NodeDescription:
    """Describe a made-up node."""
    return NodeDescription(
        machine_id="machine",
        address="https://gpu-a.example:9200",
        capabilities=NodeCapabilities(cpu_cores=8, ram_total_bytes=2**36),
        version="0.1.0",
        pools=("chat",),
        labels={"zone": "a"},
    )


class ScriptedControlPlane:
    """A `ControlPlaneClient`: gives the failures of its script, one a call, then success."""

    def __init__(self, *script: Failure | asyncio.Event, url: str = "http://control-plane") -> None:
        """Prepare; an event in the script holds the call until it is set, and then it succeeds."""
        self.url = url
        self.messages: list[NodeMessage] = []
        self._script = deque(script)
        self._heard: asyncio.Queue[NodeMessage] = asyncio.Queue()

    def then(self, *script: Failure | asyncio.Event) -> None:
        """Add to the script."""
        self._script.extend(script)

    async def next_message(self) -> NodeMessage:
        """Wait for a message that was not taken yet."""
        return await self._heard.get()

    async def register(self, message: RegisterRequest) -> RegisterResponse | Failure:
        """Say hello."""
        response = RegisterResponse(
            success=True, message="", node_id=message.node_id, heartbeat_interval_ms=10_000
        )
        return await self._answer(message, response)

    async def heartbeat(self, message: HeartbeatRequest) -> HeartbeatResponse | Failure:
        """Say how the node is."""
        return await self._answer(message, HeartbeatResponse(success=True, next_heartbeat_ms=7_000))

    async def pool_ready(self, message: PoolReadyCallback) -> PoolReadyResponse | Failure:
        """Say at once what the next heartbeat would say."""
        return await self._answer(message, PoolReadyResponse(success=True))

    async def deregister(self, message: DeregisterRequest) -> DeregisterResponse | Failure:
        """Say goodbye."""
        return await self._answer(message, DeregisterResponse(success=True))

    async def _answer(self, message: NodeMessage, success: _Response) -> _Response | Failure:
        self.messages.append(message)
        self._heard.put_nowait(message)
        step = self._script.popleft() if self._script else None
        if isinstance(step, asyncio.Event):
            await step.wait()
            return success
        return success if step is None else step


class HeldPauses:
    """Pauses that last until `end` is called; no time passes."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[float] = asyncio.Queue()
        self._ended: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        """Wait for `end`."""
        self._begun.put_nowait(seconds)
        await self._ended.get()

    async def begun(self) -> float:
        """Wait until somebody pauses; returns for how many seconds."""
        return await self._begun.get()

    def end(self) -> None:
        """Let the one who pauses, or the next one who does, go on."""
        self._ended.put_nowait(None)
