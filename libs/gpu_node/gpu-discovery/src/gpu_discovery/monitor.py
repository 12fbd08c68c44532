"""The service that keeps looking."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self

from gpu_discovery.changes import GpuChange, changes
from gpu_discovery.discovery import discover
from gpu_discovery.types import GpuDevice, GpuInventory, XidCount
from gpu_discovery.xid import XidListener

ANSWER_TIMEOUT_MS = 10_000


class GpuMonitor:
    """Looks at the GPUs every `interval_ms` and tells a callback what changed."""

    def __init__(
        self,
        on_change: Callable[[GpuChange], Awaitable[None]],
        *,
        look: Callable[[], GpuInventory],
        own_pids: Callable[[], Set[int]],
        answer_timeout_ms: int,
        xids: Callable[[], Mapping[str, XidCount]],
    ) -> None:
        self._xids = xids
        self._alarm = asyncio.Event()
        self._on_change = on_change
        self._look = look
        self._own_pids = own_pids
        self._answer_timeout_ms = answer_timeout_ms
        self._pending: asyncio.Future[GpuInventory] | None = None
        self._inventory = GpuInventory(reason="not looked yet")

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        interval_ms: int,
        on_change: Callable[[GpuChange], Awaitable[None]],
        *,
        look: Callable[[], GpuInventory] = discover,
        own_pids: Callable[[], Set[int]] = frozenset,
        answer_timeout_ms: int = ANSWER_TIMEOUT_MS,
    ) -> AsyncIterator[Self]:
        """Watch as long as the context is open; on entry the first look has been taken.

        `own_pids` names the engines of this node: memory of any other process is foreign. A
        critical error (Xid) is looked at at once.
        """
        loop = asyncio.get_running_loop()

        def alarm() -> None:
            with contextlib.suppress(RuntimeError):  # The loop was closed meanwhile.
                loop.call_soon_threadsafe(lambda: monitor.look_soon())  # noqa: PLW0108 - made below

        with XidListener.running(alarm) as listener:
            monitor = cls(
                on_change,
                look=look,
                own_pids=own_pids,
                answer_timeout_ms=answer_timeout_ms,
                xids=listener.counts,
            )
            async with monitor._looking(interval_ms):
                yield monitor

    @asynccontextmanager
    async def _looking(self, interval_ms: int) -> AsyncIterator[None]:
        await self.look()
        async with asyncio.TaskGroup() as tasks:
            loop = tasks.create_task(self._keep_looking(interval_ms), name="gpu-monitor")
            try:
                yield
            finally:
                loop.cancel()

    @property
    def inventory(self) -> GpuInventory:
        """The last look."""
        return self._inventory

    async def look(self) -> GpuInventory:
        """Look now; returns when the callback has been told everything that changed."""
        before, self._inventory = self._inventory, self._with_xids(await self._ask())
        for change in changes(before, self._inventory, self._own_pids()):
            await self._on_change(change)
        return self._inventory

    def look_soon(self) -> None:
        """Look before the interval is over."""
        self._alarm.set()

    async def _keep_looking(self, interval_ms: int) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_ms / 1000):
                    await self._alarm.wait()
            self._alarm.clear()
            await self.look()

    def _with_xids(self, inventory: GpuInventory) -> GpuInventory:
        counts = self._xids()
        if not counts:
            return inventory
        devices = tuple(
            GpuDevice(each.info, replace(each.reading, xids=counts[each.info.uuid]))
            if each.info.uuid in counts
            else each
            for each in inventory.devices
        )
        return replace(inventory, devices=devices)

    async def _ask(self) -> GpuInventory:
        """Wait a bounded time; a broken driver can hang for ever and gets no second question."""
        pending = self._pending = self._pending or _in_daemon_thread(self._look)
        done, _ = await asyncio.wait({pending}, timeout=self._answer_timeout_ms / 1000)
        if not done:
            seconds = self._answer_timeout_ms / 1000
            return GpuInventory(reason=f"NVML did not answer within {seconds:g} s")
        if self._pending is pending:  # Looks may overlap: the first to come back clears it.
            self._pending = None
        return pending.result()


def _in_daemon_thread(call: Callable[[], GpuInventory]) -> asyncio.Future[GpuInventory]:
    """Run a blocking call where it cannot keep the program from exiting, unlike an executor."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[GpuInventory] = loop.create_future()

    def settle(result: GpuInventory | Exception) -> None:
        if future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def run() -> None:
        try:
            result: GpuInventory | Exception = call()
        except Exception as error:  # noqa: BLE001 - handed to the waiting side
            result = error
        with contextlib.suppress(RuntimeError):  # The loop was closed while the driver hung.
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name="nvml", daemon=True).start()
    return future
