import asyncio
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from node_registration import ControlPlaneLink, NodeMessages, RegistrationSettings
from node_registration.testing import HeldPauses, description
from pool_registry_types import PoolSnapshot

INCARNATION = UUID(int=7)


@pytest.fixture
def pauses():
    return HeldPauses()


@pytest.fixture
def events():
    return []


@pytest.fixture
def linked(events, pauses):
    """Run the link to a scripted control plane."""

    @asynccontextmanager
    async def run(client, *, chance=1.0):
        link = ControlPlaneLink(
            client,
            NodeMessages("gpu-a", INCARNATION, description),
            RegistrationSettings(node_id="gpu-a", control_planes=(client.url,)),
            on_event=events.append,
            chance=lambda: chance,
            pause=pauses,
        )
        async with asyncio.TaskGroup() as tasks:
            loop = tasks.create_task(link.keep_registered())
            yield link
            loop.cancel()

    return run


@pytest.fixture
def pool():
    return PoolSnapshot(
        pool_id="chat",
        live=True,
        ready=True,
        draining=False,
        slots_total=4,
        slots_free=4,
        active_leases=0,
        vram_total_bytes=0,
        vram_free_bytes=0,
        engine="llamacpp",
    )
