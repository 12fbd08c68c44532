import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest

from orchestrator_client.testing import FakeOrchestratord


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Start = Callable[..., Awaitable[asyncio.subprocess.Process]]
Llorch = Callable[..., Awaitable[Outcome]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOrchestratord]:
    async with FakeOrchestratord.running() as server:
        yield server


@pytest.fixture
async def start(fake: FakeOrchestratord) -> AsyncIterator[Start]:
    """Start llorch as a real child; a stream that is not given is a pipe."""
    children: list[asyncio.subprocess.Process] = []
    environment = {**os.environ, "LLORCH_URL": fake.url, "COLUMNS": "200"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)

    async def start_child(
        *args: str, variables: Mapping[str, str] | None = None, **streams: int
    ) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llorch", *args),
            env=environment | dict(variables or {}),
            **(pipes | streams),
        )
        children.append(child)
        return child

    yield start_child
    for child in children:
        if child.returncode is None:
            child.kill()
        await child.communicate()


@pytest.fixture
def llorch(start: Start) -> Llorch:
    """Run llorch against the fake to its end."""

    async def run(
        *args: str, stdin: str = "", variables: Mapping[str, str] | None = None
    ) -> Outcome:
        child = await start(*args, variables=variables)
        out, err = await child.communicate(stdin.encode())
        assert child.returncode is not None
        return Outcome(child.returncode, out.decode(), err.decode())

    return run
