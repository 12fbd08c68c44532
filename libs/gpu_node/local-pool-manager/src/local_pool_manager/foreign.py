"""Watches an engine that somebody else started: asks and looks, but never touches it."""

import asyncio
from collections.abc import Callable

from engine_provisioner import EngineProbe, EngineProcess, ProcessIdentity
from pool_registry_types import HandoffPayload

INTERVAL_S = 1.0


async def watch_engine(
    payload: HandoffPayload,
    probe: EngineProbe,
    tell: Callable[[bool, str | None], None],
    *,
    pid_trusted: bool,
    interval_s: float = INTERVAL_S,
) -> None:
    """Tell whether it serves its model, until its process has ended; for ever without a pid."""
    process = _attach(payload) if pid_trusted else None
    if pid_trusted and process is None:
        tell(False, f"process {payload.pid} of its handoff does not run")
        return
    if process is None:
        await _ask(payload, probe, tell, interval_s)
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(_ask(payload, probe, tell, interval_s))
            await process.exited()
            asking.cancel()
    finally:
        process.close()
    tell(False, f"process {payload.pid} has ended")


async def _ask(
    payload: HandoffPayload,
    probe: EngineProbe,
    tell: Callable[[bool, str | None], None],
    interval_s: float,
) -> None:
    known = False
    while True:
        trouble = await probe.trouble(payload.url)
        if trouble is None and not known:
            served = await probe.models(payload.url, payload.engine_key)
            known = payload.model.id in served
            if not known:
                trouble = f"{payload.url} does not serve {payload.model.id}"
        tell(trouble is None, trouble)
        await asyncio.sleep(interval_s)


def _attach(payload: HandoffPayload) -> EngineProcess | None:
    if payload.pid_start_ticks is None or payload.boot_id is None or payload.pid_ns is None:
        return None
    return EngineProcess.attach(
        ProcessIdentity(payload.pid, payload.pid_start_ticks, payload.boot_id, payload.pid_ns)
    )
