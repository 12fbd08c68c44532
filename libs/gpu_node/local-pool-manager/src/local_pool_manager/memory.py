"""How much memory an engine needs, and whether the devices have it: pure arithmetic.

The need is computed from the model file until it was measured once. An engine that does not fit
is refused with the numbers: llama.cpp would fail late, or spill into host memory.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from catalog_core import GgufHeader
from gpu_discovery import GpuDevice

F16_BYTES = 2
F32_BYTES = 4
UBATCH_TOKENS = 512
"""llama.cpp computes prompts in pieces of this size; its buffers are made for one."""
ACTIVATIONS = 12
"""Rows as wide as the embedding that are alive at once in one block, measured generously."""
DEVICE_OVERHEAD_BYTES = 512 << 20
"""What a CUDA context and its libraries take of each device."""
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class HeadSizes:
    """The width of one key and one value head."""

    key: int
    value: int


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What one engine takes, and how that came about."""

    total_bytes: int
    """Of the model, its cache and its buffers, without what each device takes on top."""
    story: str
    measured: bool = False


@dataclass(frozen=True, slots=True)
class DeviceRoom:
    """What is left of one device."""

    name: str
    uuid: str
    total_bytes: int
    free_bytes: int
    foreign_bytes: int = 0
    """Held by processes that are no engines of ours."""


def estimate(
    header: GgufHeader, *, ctx_tokens: int, slots: int, heads: HeadSizes | None = None
) -> MemoryNeed:
    """Compute the need from the model file; what the file does not tell counts as nothing."""
    blocks = header.block_count or 0
    width = header.embedding_length or 0
    head_count = header.head_count or 1
    heads_kv = header.head_count_kv or head_count
    sizes = heads or HeadSizes(width // head_count, width // head_count)
    weights = header.tensor_bytes
    cached = ctx_tokens * slots
    cache = blocks * heads_kv * (sizes.key + sizes.value) * cached * F16_BYTES
    rows = min(UBATCH_TOKENS, ctx_tokens)
    buffers = rows * ((header.vocab_size or 0) + ACTIVATIONS * width) * F32_BYTES
    return MemoryNeed(
        total_bytes=weights + cache + buffers,
        story=(
            f"weights {gib(weights)}, KV cache {gib(cache)} ({blocks} blocks x {heads_kv} heads "
            f"x {sizes.key}+{sizes.value} x {ctx_tokens} tokens x {slots} slots x {F16_BYTES} B), "
            f"buffers {gib(buffers)}"
        ),
    )


def measured(total_bytes: int) -> MemoryNeed:
    """Return the need as it was seen when the same engine ran before."""
    return MemoryNeed(total_bytes, "as measured when it last ran here", measured=True)


def rooms(devices: Iterable[GpuDevice], *, ours: Collection[int] = ()) -> tuple[DeviceRoom, ...]:
    """Return what is left of each device; `ours` are the pids of our engines."""
    return tuple(
        DeviceRoom(
            name=f"GPU {device.info.device_id} ({device.info.name})",
            uuid=device.info.uuid,
            total_bytes=device.reading.total_bytes,
            free_bytes=device.reading.free_bytes,
            foreign_bytes=sum(
                process.used_bytes or 0
                for process in device.reading.processes
                if process.pid not in ours
            ),
        )
        for device in devices
    )


def shortage(
    need: MemoryNeed,
    devices: Sequence[DeviceRoom],
    *,
    engines: int = 1,
    shares: Sequence[float] = (),
    returned: Mapping[str, int] | None = None,
) -> str | None:
    """Return why it does not fit, with the arithmetic; None when it does.

    `returned` is what each device (by UUID) gets back before the load. Without `shares` an engine
    is split by what is free; with them, the device that is smallest for its share decides.
    """
    back = returned or {}
    free = [device.free_bytes + back.get(device.uuid, 0) for device in devices]
    usable = [max(0, room - engines * DEVICE_OVERHEAD_BYTES) for room in free]
    parts = _parts(usable, shares)
    wanted = engines * need.total_bytes
    lacking = [
        f"{device.name} would take {gib(round(part * wanted))} "
        f"+ {gib(engines * DEVICE_OVERHEAD_BYTES)} for the driver, and has {gib(room)} free of "
        f"{gib(device.total_bytes)}{_foreign(device)}"
        for device, room, has, part in zip(devices, free, usable, parts, strict=True)
        if part * wanted > has
    ]
    if not lacking:
        return None
    count = f"{engines} engines, each " if engines > 1 else ""
    return f"it needs {count}{gib(need.total_bytes)} ({need.story}); {'; '.join(lacking)}"


def _parts(usable: Sequence[int], shares: Sequence[float]) -> list[float]:
    weights = [float(share) for share in shares[: len(usable)]] if shares else list(usable)
    # Devices beyond the shares that were given take nothing, as with llama.cpp.
    weights += [0.0] * (len(usable) - len(weights))
    total = sum(weights)
    if total <= 0:
        return [1 / len(usable)] * len(usable) if usable else []
    return [weight / total for weight in weights]


def _foreign(device: DeviceRoom) -> str:
    if not device.foreign_bytes:
        return ""
    return f" ({gib(device.foreign_bytes)} are held by processes that are not ours)"


def gib(count: int) -> str:
    """Return bytes as people read them."""
    if count < GIB // 100:
        return f"{count / (1 << 20):.1f} MiB"
    return f"{count / GIB:.2f} GiB"


def used_by(devices: Iterable[GpuDevice], pids: Iterable[int]) -> dict[str, int]:
    """Return what these processes hold of each device, by UUID."""
    wanted = frozenset(pids)
    held: dict[str, int] = {}
    for device in devices:
        found = [
            process.used_bytes
            for process in device.reading.processes
            if process.pid in wanted and process.used_bytes is not None
        ]
        if found:
            held[device.info.uuid] = sum(found)
    return held
