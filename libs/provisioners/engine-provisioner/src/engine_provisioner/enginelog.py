"""The log file of an engine: bounded in size, and the place where the cause of a failure stands."""

import os
import re
from pathlib import Path

LOG_LIMIT_BYTES = 4 << 20
_TAIL_BYTES = 16 << 10
_CAUSES = 3
_VRAM_EXHAUSTED = re.compile(
    r"cudaMalloc failed: out of memory|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY"
    r"|(?:allocate|allocating)[^\n]*(?:CUDA|Vulkan|ROCm|SYCL)\w*[^\n]*buffer"
    r"|ErrorOutOfDeviceMemory"
)
_RAM_EXHAUSTED = re.compile(
    r"std::bad_alloc|Cannot allocate memory|mmap failed: Out of memory|MemoryError"
    r"|failed to allocate[^\n]*\bCPU\w*[^\n]*buffer|posix_memalign failed|ErrorOutOfHostMemory"
)
_LLAMA_ERROR = re.compile(r"^[\d.]+ E (?P<text>.*)$")
_PLACE = re.compile(r"^(?:\w+\s+)?[\w()~]+: ")
_ECHOES = re.compile(r"failed to load model\b|exiting due to|trying to fit params")
"""What llama.cpp adds on the way out: true, and no cause."""


def trim(path: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> bool:
    """Keep only the last half of a log that outgrew its limit; the writer appends and goes on.

    A disk that refuses is no reason to disturb an engine: the next call tries again.
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return False
        tail = _tail(path, limit_bytes // 2)
        with path.open("r+b") as file:
            file.truncate(0)
        with path.open("ab") as file:
            file.write(tail)
    except OSError:
        return False
    return True


def size_bytes(path: Path) -> int:
    """Return the size of a log, 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def cause(path: Path, since_bytes: int = 0) -> str | None:
    """Return what the engine itself gives as the reason of its end, in one line.

    Memory that ran out is named as such, of the GPU or of the host: they have different cures.
    """
    try:
        text = _tail(path, _TAIL_BYTES, since_bytes).decode(errors="replace")
    except FileNotFoundError:
        return None
    told = _told(text.splitlines())
    for shortage, pattern in (
        ("the GPU is out of memory", _VRAM_EXHAUSTED),
        ("the host is out of memory", _RAM_EXHAUSTED),
    ):
        if pattern.search(text):
            return f"{shortage}: {told}" if told else shortage
    return told


def _told(lines: list[str]) -> str | None:
    errors = [
        _PLACE.sub("", match["text"]) for line in lines if (match := _LLAMA_ERROR.match(line))
    ]
    told = list(dict.fromkeys(error for error in errors if not _ECHOES.search(error)))
    if told or errors:
        return "; ".join((told or errors)[-_CAUSES:])
    return next((line.strip() for line in reversed(lines) if line.strip()), None)


def _tail(path: Path, length: int, since_bytes: int = 0) -> bytes:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - length, min(since_bytes, end)))
        return file.read()
