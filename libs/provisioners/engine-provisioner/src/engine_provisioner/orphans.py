"""Engines that an earlier run started and nobody wants any more."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from engine_provisioner.containers import remove_container
from engine_provisioner.handoff import (
    LANES,
    STATUS_DIR,
    lane_in_service,
    own_process,
    read_handoff,
    read_status,
    remove_handoff,
    status_path,
)
from engine_provisioner.process import EngineProcess

STOP_S = 8.0
KILL_S = 5.0


async def stop_orphans(
    runtime_dir: Path, *, keep: Collection[tuple[str, str]], private_dir: Path | None = None
) -> None:
    """Stop the engines of ours that are not those of `keep` (pool and replica ids), in parallel.

    Of two engines of one replica, which a crash in the middle of a reload leaves, the one in
    service is kept. Only a process whose command line names its own status file in `private_dir`
    (left out: the runtime folder) is touched.
    """
    private_dir = private_dir or runtime_dir
    statuses = (private_dir / STATUS_DIR).glob("*~*.status")
    found = {tuple(status.stem.split("~")[:2]) for status in statuses}
    await asyncio.gather(
        *(
            _stop(runtime_dir, private_dir, pool_id, replica_id, lane)
            for pool_id, replica_id in found
            for lane in LANES
            if (pool_id, replica_id) not in keep
            or lane != lane_in_service(runtime_dir, pool_id, replica_id, private_dir=private_dir)
        )
    )


async def _stop(
    runtime_dir: Path, private_dir: Path, pool_id: str, replica_id: str, lane: int
) -> None:
    identity = own_process(private_dir, pool_id, replica_id, lane)
    process = EngineProcess.attach(identity) if identity else None
    if process is None:
        await _clear_away(private_dir, pool_id, replica_id, lane)
        return
    payload = read_handoff(runtime_dir, pool_id, replica_id)
    if payload is not None and payload.pid == process.pid:
        remove_handoff(runtime_dir, pool_id, replica_id)
    for end, patience_s in ((process.terminate, STOP_S), (process.kill, KILL_S)):
        end()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.exited()
                break
    process.close()
    await _clear_away(private_dir, pool_id, replica_id, lane)


async def _clear_away(private_dir: Path, pool_id: str, replica_id: str, lane: int) -> None:
    """Remove what a guardian may have left of its container, once."""
    status = status_path(private_dir, pool_id, replica_id, lane)
    await remove_container(read_status(status).get("container"))
    status.unlink(missing_ok=True)
