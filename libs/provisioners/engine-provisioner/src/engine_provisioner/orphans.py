"""Engines that an earlier run started and nobody wants any more."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from engine_provisioner.handoff import STATUS_DIR, own_process, remove_handoff
from engine_provisioner.process import EngineProcess

STOP_S = 4.0
KILL_S = 5.0


async def stop_orphans(runtime_dir: Path, *, keep: Collection[tuple[str, str]]) -> None:
    """Stop the engines of ours that are not those of `keep` (pool and replica ids), in parallel.

    Only a process whose command line names its own status file in this folder is touched.
    """
    statuses = (runtime_dir / STATUS_DIR).glob("*~*.status")
    found = {(pool_id, replica_id) for pool_id, _, replica_id in map(_names, statuses)}
    await asyncio.gather(*(_stop(runtime_dir, *names) for names in found - set(keep)))


def _names(status: Path) -> tuple[str, str, str]:
    return status.stem.partition("~")


async def _stop(runtime_dir: Path, pool_id: str, replica_id: str) -> None:
    identity = own_process(runtime_dir, pool_id, replica_id)
    process = EngineProcess.attach(identity) if identity else None
    if process is None:
        return
    remove_handoff(runtime_dir, pool_id, replica_id)
    for end, patience_s in ((process.terminate, STOP_S), (process.kill, KILL_S)):
        end()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.exited()
                return
    process.close()
