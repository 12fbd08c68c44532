"""A HOME daemon whose only pool is an engine that somebody else started."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from .borrowed import Api, Daemon, Place
from .handing import external_pool, hand_over
from .installed import EngineProcess

POOL = "theirs"


@contextmanager
def home_serving(
    engine: EngineProcess, folder: Path, *, kind: str, slots: int, ctx: int
) -> Iterator[Daemon]:
    """Start a daemon, hand the engine over to it, and stop the daemon at the end."""
    table = external_pool(POOL, kind, slots)
    provisioning = table.pop("provisioning")
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    lines += [f'provisioning = {{ mode = "{provisioning["mode"]}" }}']
    place = Place(folder, 'device_policy = "cpu"\n\n[[pools]]\n' + "\n".join(lines) + "\n")
    try:
        daemon = place.start(ready=False)
        hand_over(engine, place.runtime_dir, pool_id=POOL, kind=kind, slots=slots, ctx=ctx)
        daemon.wait_ready()
        yield daemon
    finally:
        place.close()


@asynccontextmanager
async def client_of(daemon: Daemon) -> AsyncIterator[Api]:
    """A client of a daemon."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=300)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Api(daemon, session)
