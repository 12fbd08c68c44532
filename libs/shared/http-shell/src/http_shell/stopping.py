"""How a program is told to end."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """What the operating system has told this process, made inside its event loop."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        """Told to stop a second time."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take note of each SIGINT and SIGTERM; past the block they do nothing.

        A loop that closes gives them back to the system, and one more of them would then kill a
        program that has ended in order and is only leaving.
        """
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_stop)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)

    def _on_stop(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()
