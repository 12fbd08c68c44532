"""One look at the GPUs of this machine."""

from gpu_discovery.library import load_library
from gpu_discovery.ports import Nvml, NvmlError
from gpu_discovery.types import GpuDevice, GpuFault, GpuInventory
from node_types import GpuInfo


def discover(nvml: Nvml | None = None) -> GpuInventory:
    """Ask the driver for all devices; blocks, and tells what failed instead of raising.

    A device that fails is listed in `faults` and leaves the others as they are.
    """
    try:
        source = _binding() if nvml is None else nvml
        source.open()
    except NvmlError as error:
        return GpuInventory(reason=str(error))
    try:
        return _take_stock(source)
    except NvmlError as error:
        return GpuInventory(reason=str(error))
    finally:
        _close(source)


def _binding() -> Nvml:
    load_library()
    from gpu_discovery.nvml import PynvmlBinding  # See `load_library`.

    return PynvmlBinding()


def _take_stock(nvml: Nvml) -> GpuInventory:
    driver_version = nvml.driver_version()
    found = [_look_at(nvml, device_id) for device_id in range(nvml.device_count())]
    devices = tuple(device for device in found if isinstance(device, GpuDevice))
    faults = tuple(fault for fault in found if isinstance(fault, GpuFault))
    if devices:
        reason = None
    elif faults:
        reason = "none of the driver's GPUs answers"
    else:
        reason = "the driver lists no GPU"
    return GpuInventory(driver_version, devices, faults, reason)


def _look_at(nvml: Nvml, device_id: int) -> GpuDevice | GpuFault:
    try:
        device = nvml.read(device_id)
        info = GpuInfo(
            device_id=device_id,
            uuid=device.uuid,
            name=device.name,
            vram_total_bytes=device.reading.total_bytes,
            compute_capability=device.compute_capability,
        )
    except (NvmlError, ValueError) as error:  # ValueError: a name or UUID that is none
        return GpuFault(device_id, str(error))
    return GpuDevice(info, device.reading)


def _close(nvml: Nvml) -> None:
    try:
        nvml.close()
    except NvmlError:
        return  # The driver went away meanwhile; what was read stands.
