"""Unix time that never runs backwards within a process."""

import time


class SteadyClock:
    """The wall clock as it was at the start, moved on by the monotonic one."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        """Return Unix time in milliseconds."""
        return (self._offset_ns + time.monotonic_ns()) // 1_000_000
