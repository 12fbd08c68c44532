"""`pool-managerd` itself: start the node, serve it, and leave in order when told to."""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

from auth_min import AuthError
from http_shell import StopSignals, serving
from local_pool_manager import RuntimeDirTaken
from narration_core import LogSettings, configure, get_logger
from pool_managerd.config import Settings
from pool_managerd.http import NodeGate, create_app, create_edge
from pool_managerd.node.access import Access
from pool_managerd.node.running import Node, running_node
from pool_managerd.relay import ShortRelay

EXIT_CANNOT_START = 1
PREEMPTION_POLL_S = 1.0
FAREWELL_S = 2.0
"""How long revoked requests may take to close."""


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    configure(
        LogSettings(
            format=settings.log_format,
            level=settings.log_level,
            service="pool-managerd",
            node_id=settings.node_id,
            machine_id=settings.machine_id,
        )
    )
    signals = _Signals()
    with signals.listening():
        try:
            await _serve_until(signals, settings, Access(settings))
        except* (AuthError, RuntimeDirTaken, OSError) as group:
            return_code = _cannot_start(group)
        else:
            return_code = 0
    return return_code


class _Signals(StopSignals):
    """With the one that says that this machine is about to be taken away."""

    def __init__(self) -> None:
        super().__init__()
        self.preempted = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.preempted.set)


async def _serve_until(signals: _Signals, settings: Settings, access: Access) -> None:
    log = get_logger(component="pool-managerd")
    for warning in settings.exposure.warnings():
        log.warning("insecure", human=warning)
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(running_node(settings, access))
        app = create_app(node.services, max_body_bytes=settings.max_body_bytes)
        gate = NodeGate(access.door, settings.bind_addr.host)
        edge = create_edge(node.services, gate)
        short_way = ShortRelay(node.relay.passages, edge, gate)
        address = await stack.enter_async_context(
            serving(
                app,
                edge,
                settings.bind_addr,
                ssl_context=access.server_context(),
                short_way=short_way,
                recall=short_way.recall,
            )
        )
        await stack.enter_async_context(node.presence.running(address))
        watching = await stack.enter_async_context(asyncio.TaskGroup())
        watcher = watching.create_task(_watch_for_preemption(signals, settings, node))
        log.info(
            "serving",
            address=str(address),
            tls=settings.has_tls,
            device_policy=settings.device_policy.value,
            human=f"pool-managerd serves node {settings.node_id} at {address}.",
        )
        await signals.stop.wait()
        watcher.cancel()
        log.info("stopping", human="Told to stop: no new task is taken, running ones may finish.")
        await _drain(node, signals, settings.drain_deadline_ms)
        await node.presence.say_goodbye("told to stop")
    log.info("stopped", human="Everything has ended.")


async def _drain(node: Node, signals: _Signals, deadline_ms: int) -> None:
    """Let running tasks finish, at most until the deadline."""
    node.pools.leave("it has been told to stop")
    async with asyncio.TaskGroup() as tasks:
        emptied = tasks.create_task(node.pools.emptied())
        hurried = tasks.create_task(signals.hurry.wait())
        await asyncio.wait(
            {emptied, hurried}, timeout=deadline_ms / 1000, return_when=asyncio.FIRST_COMPLETED
        )
        if not emptied.done():
            node.relay.passages.revoke("the node stops and its deadline has passed")
            await asyncio.wait({emptied}, timeout=FAREWELL_S)
        emptied.cancel()
        hurried.cancel()


async def _watch_for_preemption(signals: _Signals, settings: Settings, node: Node) -> None:
    """Take no more work once the machine is going to be taken away."""
    file = settings.preemption_file
    if file is None:
        await signals.preempted.wait()
    else:
        while not (signals.preempted.is_set() or await asyncio.to_thread(file.exists)):
            try:
                async with asyncio.timeout(PREEMPTION_POLL_S):
                    await signals.preempted.wait()
            except TimeoutError:
                continue
    log = get_logger(component="pool-managerd")
    log.warning("preempted", human="This machine will be taken away: no new task is taken.")
    node.pools.leave("its machine will be taken away")


def _cannot_start(group: BaseExceptionGroup[Exception]) -> int:
    """Say in one line what is in the way, whatever it was wrapped in."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    sys.stderr.write(f"pool-managerd: cannot start: {error}\n")
    return EXIT_CANNOT_START
