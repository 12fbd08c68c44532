"""Critical errors of the devices (Xid), which the driver tells as events and never again."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType

from gpu_discovery.library import load_library
from gpu_discovery.ports import NvmlError
from gpu_discovery.types import XidCount

RETRY_S = 5.0
"""Between two tries to listen, where the driver is gone or not there yet."""
OF_PROGRAMS: Mapping[int, str] = MappingProxyType(
    {
        13: "graphics engine exception",
        31: "memory page fault",
        43: "a program stopped the GPU's work",
        45: "the work of a program was preempted",
        68: "video processor exception",
        109: "context switch timeout",
    }
)
"""Errors that a program makes and that end with it: no reason to distrust the device.

As NVIDIA's own device plugin for Kubernetes has it; see the Xid catalogue of its documentation.
"""


class XidListener:
    """Listens in a daemon thread, made by `running`; a hanging driver keeps nobody waiting."""

    def __init__(self, on_error: Callable[[], None]) -> None:
        self._on_error = on_error
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._counts: dict[str, XidCount] = {}

    @classmethod
    @contextmanager
    def running(cls, on_error: Callable[[], None] = lambda: None) -> "Iterator[XidListener]":
        """Listen; `on_error` is called in the thread after each new critical error."""
        self = cls(on_error)
        threading.Thread(target=self._run, name="nvml-events", daemon=True).start()
        try:
            yield self
        finally:
            self._stop.set()

    def counts(self) -> Mapping[str, XidCount]:
        """Return what was heard, by UUID; errors that programs make are not in it."""
        with self._lock:
            return dict(self._counts)

    def _run(self) -> None:
        while not self._stop.is_set():
            # A driver that does not do events, or is not there, may come later.
            with suppress(NvmlError):
                load_library()
                from gpu_discovery.xid_events import listen  # NVIDIA's binding: see `load_library`

                listen(self._stop, self._heard)
            self._stop.wait(RETRY_S)

    def _heard(self, uuid: str, xid: int) -> None:
        if xid in OF_PROGRAMS:
            return
        with self._lock:
            known = self._counts.get(uuid, XidCount())
            self._counts[uuid] = XidCount(known.count + 1, xid)
        self._on_error()
