"""A long cable: what goes through it is late, out of order, and now and then lost."""

import asyncio
import contextlib
import fcntl
import os
import random
import struct
import threading
from collections.abc import Callable
from typing import Self

FRAME_BYTES = 65_536
JOIN_S = 5.0
_SET_INTERFACE = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000


def open_tap(name: str) -> int:
    """Make a network interface whose frames this process reads and writes; it lives as long."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _SET_INTERFACE, struct.pack("16sH", name.encode(), _TAP_WITHOUT_HEADER))
    return tap


class Cable:
    """Carries frames between two interfaces; each of them by itself, as a bad network does."""

    def __init__(self, ends: tuple[int, int], *, delay_s: tuple[float, float], loss: float) -> None:
        self.delay_s = delay_s
        """Each frame takes a time between these two."""
        self.loss = loss
        """The share of frames that never arrive."""
        self.carried = self.lost = 0
        self._ends = ends
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable")

    def __enter__(self) -> Self:
        for source, target in (self._ends, self._ends[::-1]):
            self._loop.add_reader(source, self._pump(source, target))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(JOIN_S)
        for end in self._ends:
            os.close(end)
        self._loop.close()

    def _pump(self, source: int, target: int) -> Callable[[], None]:
        def write(frame: bytes) -> None:
            with contextlib.suppress(OSError):  # An interface that is down takes nothing.
                os.write(target, frame)

        def read() -> None:
            try:
                frame = os.read(source, FRAME_BYTES)
            except OSError:
                return
            if random.random() < self.loss:
                self.lost += 1
                return
            self.carried += 1
            self._loop.call_later(random.uniform(*self.delay_s), write, frame)

        return read
