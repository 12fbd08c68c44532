"""The port on the real library, through NVIDIA's own binding."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pynvml  # type: ignore[import-untyped]

from gpu_discovery.ports import NvmlDevice, NvmlError
from gpu_discovery.types import GpuProcess, GpuReading

_MAX_NAME_CHARS = 128
_NOT_TOLD = (
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_NO_DATA,
)
_PLAIN_WORDS = {
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "driver not loaded",
    pynvml.NVML_ERROR_GPU_IS_LOST: "GPU is lost",
    pynvml.NVML_ERROR_RESET_REQUIRED: "GPU needs a reset",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to talk to the driver",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "library and loaded driver are of different versions (restart after a driver update)"
    ),
}

_Value = TypeVar("_Value")


class PynvmlBinding:
    """Calls the library, which was found by `load_library`."""

    def open(self) -> None:
        """See `Nvml.open`."""
        with plain_errors():
            pynvml.nvmlInit()

    def driver_version(self) -> str:
        """See `Nvml.driver_version`."""
        with plain_errors():
            return str(pynvml.nvmlSystemGetDriverVersion())

    def device_count(self) -> int:
        """See `Nvml.device_count`."""
        with plain_errors():
            return int(pynvml.nvmlDeviceGetCount())

    def read(self, device_id: int) -> NvmlDevice:
        """See `Nvml.read`; what a device does not support is None, not an error."""
        with plain_errors():
            handle = pynvml.nvmlDeviceGetHandleByIndex(device_id)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            return NvmlDevice(
                uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
                name=str(pynvml.nvmlDeviceGetName(handle))[:_MAX_NAME_CHARS],
                compute_capability=_if_told(lambda: _compute_capability(handle)),
                reading=GpuReading(
                    total_bytes=int(memory.total),
                    used_bytes=int(memory.used),
                    free_bytes=int(memory.free),
                    utilization_percent=_if_told(
                        lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                    ),
                    temperature_c=_if_told(lambda: _temperature_c(handle)),
                    ecc_errors=_if_told(lambda: _ecc_errors(handle)),
                    processes=_if_told(lambda: _processes(handle)) or (),
                ),
            )

    def close(self) -> None:
        """See `Nvml.close`."""
        with plain_errors():
            pynvml.nvmlShutdown()


def _compute_capability(handle: Any) -> str:
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return f"{major}.{minor}"


def _temperature_c(handle: Any) -> int:
    return int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))


def _ecc_errors(handle: Any) -> int:
    return int(
        pynvml.nvmlDeviceGetTotalEccErrors(
            handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
        )
    )


def _processes(handle: Any) -> tuple[GpuProcess, ...]:
    return tuple(
        GpuProcess(int(process.pid), process.usedGpuMemory)
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    )


def _if_told(ask: Callable[[], _Value]) -> _Value | None:
    try:
        return ask()
    except pynvml.NVMLError as error:
        if error.value in _NOT_TOLD:
            return None
        raise


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise NvmlError, in plain words, for what NVIDIA's binding raises."""
    try:
        yield
    except pynvml.NVMLError as error:
        raise NvmlError(_PLAIN_WORDS.get(error.value, str(error))) from error
    except UnicodeDecodeError as error:
        raise NvmlError("the driver answered with text that is not UTF-8") from error
