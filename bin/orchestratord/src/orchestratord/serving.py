"""`orchestratord` itself: start the profile, serve it, and stop in order when told to."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack

from admission_coordinator import AdmissionCoordinator
from auth_min import AuthError
from http_shell import StopSignals, serving
from local_pool_manager import RuntimeDirTaken
from narration_core import LogSettings, configure, get_logger
from orchestratord.access import Access
from orchestratord.composed import Composed, Layout
from orchestratord.config import Settings
from orchestratord.http.app import (
    METRICS_PORT_OPERATIONS,
    create_app,
    create_edge,
    create_short_way,
)
from program_config import BindAddress

EXIT_CANNOT_START = 1
_READY_POLL_S = 0.02


async def serve(settings: Settings, layout: Layout) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    began_s = time.monotonic()
    writer = configure(
        LogSettings(
            format=settings.log_format,
            level=settings.log_level,
            service="orchestratord",
            node_id=settings.node_id,
            machine_id=settings.machine_id,
        )
    )
    loop = asyncio.get_running_loop()
    with writer.gathering(loop.call_soon):
        return await _serve(settings, layout, began_s=began_s)


async def _serve(settings: Settings, layout: Layout, *, began_s: float) -> int:
    signals = StopSignals()
    with signals.listening():
        reason = await _reason_to_end(signals, settings, layout, began_s=began_s)
    return 0 if reason is None else _cannot_start(reason)


async def _reason_to_end(
    signals: StopSignals, settings: Settings, layout: Layout, *, began_s: float
) -> str | None:
    """Serve; return what stands in the way of that, else None."""
    reason: str | None = None
    try:
        settings = await layout.prepare(settings)
        await _serve_until(signals, settings, layout, began_s=began_s)
    except* (AuthError, RuntimeDirTaken, OSError) as group:
        reason = _first(group)
    return reason


async def _serve_until(
    signals: StopSignals, settings: Settings, layout: Layout, *, began_s: float
) -> None:
    access, log = Access(settings), get_logger(component="orchestratord")
    for warning in access.warnings():
        log.warning("insecure", human=warning)
    async with AsyncExitStack() as stack:
        composed = await stack.enter_async_context(layout.running(settings, access))
        edge = create_edge(composed.services, settings, access)
        app = create_app(composed.services, settings)
        address = await stack.enter_async_context(
            serving(
                app,
                edge,
                settings.bind_addr,
                ssl_context=access.server_context(),
                short_way=create_short_way(composed.services, settings, edge),
            )
        )
        if settings.metrics_port is not None:
            metrics_app = create_app(composed.services, settings, only=METRICS_PORT_OPERATIONS)
            metrics_address = BindAddress(settings.bind_addr.host, settings.metrics_port)
            await stack.enter_async_context(
                serving(metrics_app, edge, metrics_address, option="--metrics-port")
            )
        scheme = "http" if settings.tls_cert is None else "https"
        log.info(
            "serving",
            address=str(address),
            device_policy=settings.device_policy.value,
            human=f"orchestratord serves at {scheme}://{address}.",
        )
        if settings.demo:
            await _show_banner(signals.stop, composed, settings, address, began_s=began_s)
        await signals.stop.wait()
        log.info("stopping", human="Told to stop: no new task is taken, running ones may finish.")
        composed.machine.begin_shutdown()
        await _end_tasks(composed.coordinator, signals, grace_ms=settings.shutdown_grace_ms)
    log.info("stopped", human="Everything has ended.")


async def _end_tasks(
    coordinator: AdmissionCoordinator, signals: StopSignals, *, grace_ms: int
) -> None:
    """Let running tasks finish within the grace, or until told to stop once more."""
    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(coordinator.shut_down(grace_ms=grace_ms))
        hurried = tasks.create_task(signals.hurry.wait())
        await asyncio.wait({ended, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not ended.done():
            await coordinator.shut_down(grace_ms=0)


async def _show_banner(
    stop: asyncio.Event,
    home: Composed,
    settings: Settings,
    address: BindAddress,
    *,
    began_s: float,
) -> None:
    """Wait until the demo's pool is ready or has failed, and say how to go on."""
    from orchestratord.home.demo import banner  # The demo is of HOME: CLOUD imports nothing of it.

    while not (readiness := home.machine.readiness()).ready and not stop.is_set():  # noqa: ASYNC110 - shown once, and pools tell of themselves by snapshots
        await asyncio.sleep(_READY_POLL_S)
    failed = [pool for pool in readiness.pools if not pool.ready]
    if failed:
        sys.stdout.write(f"the demo's engine did not start: {failed[0].last_error}\n")
    else:
        took_s = time.monotonic() - began_s
        sys.stdout.write(banner(settings, address, took_s=took_s))
    sys.stdout.flush()


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    """Return what the first error of a group says, however deep the task groups around it are."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def _cannot_start(reason: str) -> int:
    sys.stderr.write(f"orchestratord: cannot start: {reason}\n")
    return EXIT_CANNOT_START
