"""Events of the driver about critical errors, through NVIDIA's own binding."""

import threading
from collections.abc import Callable
from contextlib import suppress

import pynvml  # type: ignore[import-untyped]

from gpu_discovery.nvml import plain_errors

WAIT_MS = 500
"""So long one wait for an event lasts: stopping has to wait for its end."""


def listen(stop: threading.Event, heard: Callable[[str, int], None]) -> None:
    """Tell the UUID of the device and the Xid of each error, until stopped; blocks.

    Returns at once where no device tells of errors; raises NvmlError where the driver does not.
    """
    with plain_errors():
        pynvml.nvmlInit()
        try:
            _listen(stop, heard)
        finally:
            pynvml.nvmlShutdown()


def _listen(stop: threading.Event, heard: Callable[[str, int], None]) -> None:
    events = pynvml.nvmlEventSetCreate()
    try:
        count = pynvml.nvmlDeviceGetCount()
        if not sum(_register(events, number) for number in range(count)):
            return  # To wait for no device would be no wait at all.
        while not stop.is_set():
            _hear(events, heard)
    finally:
        pynvml.nvmlEventSetFree(events)


def _register(events: object, number: int) -> bool:
    # A device that is lost, or tells no events, does not keep others from being heard.
    with suppress(pynvml.NVMLError):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, events)
        return True
    return False


def _hear(events: object, heard: Callable[[str, int], None]) -> None:
    try:
        event = pynvml.nvmlEventSetWait_v2(events, WAIT_MS)
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_TIMEOUT:
            return
        raise
    heard(str(pynvml.nvmlDeviceGetUUID(event.device)), int(event.eventData))
