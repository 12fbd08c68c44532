"""The pages of a file in RAM: read, locked, counted. Everything here blocks.

Python has no mlock or mincore, so that libc is asked directly; on another system than Linux the
file is only read.
"""

import ctypes
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

CHUNK_BYTES = 32 << 20
READ_BYTES = 4 << 20
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_MAP_FAILED = ctypes.c_void_p(-1).value


class Mapping:
    """A file mapped for reading; closing it unlocks its pages. The calls release the GIL."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size_bytes = os.fstat(descriptor).st_size
            address = _libc.mmap(
                None, self.size_bytes, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0
            )
        finally:
            os.close(descriptor)
        if address == _MAP_FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
        self._address: int | None = address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lock(self, offset: int, length: int) -> None:
        """Bring a part into RAM and keep it there; raises OSError where that is not permitted."""
        if self._address is None or _libc.mlock(self._address + offset, length) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def resident_bytes(self) -> int:
        """Return how much of it is in RAM now."""
        if self._address is None:
            return 0
        pages = -(-self.size_bytes // mmap.PAGESIZE)
        told = (ctypes.c_ubyte * pages)()
        if _libc.mincore(self._address, self.size_bytes, told) != 0:
            return 0
        resident = bytes(told).translate(_LOWEST_BIT).count(1)
        return min(self.size_bytes, resident * mmap.PAGESIZE)

    def close(self) -> None:
        """Give the pages back to the kernel, which may go on keeping them."""
        if self._address is not None:
            _libc.munmap(self._address, self.size_bytes)
            self._address = None


_LOWEST_BIT = bytes(number & 1 for number in range(256))


def lock(path: Path, on_chunk: Callable[[int], None]) -> Mapping:
    """Map and lock a whole file; `on_chunk` is told the bytes done and may raise to stop."""
    mapping = Mapping(path)
    try:
        for offset in range(0, mapping.size_bytes, CHUNK_BYTES):
            length = min(CHUNK_BYTES, mapping.size_bytes - offset)
            mapping.lock(offset, length)
            on_chunk(offset + length)
    except BaseException:
        mapping.close()
        raise
    return mapping


def read_through(path: Path, on_chunk: Callable[[int], None]) -> None:
    """Read a whole file into the page cache; `on_chunk` as with `lock`."""
    buffer = bytearray(READ_BYTES)
    with path.open("rb", buffering=0) as file:
        # The kernel then reads further ahead than for a file of unknown use.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        done = 0
        while count := file.readinto(buffer):
            done += count
            on_chunk(done)


def forget(path: Path) -> None:
    """Tell the kernel that nobody needs the file's pages; those that are mapped or dirty stay."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def resident_bytes(path: Path) -> int:
    """Return how much of a file is in RAM now."""
    with Mapping(path) as mapping:
        return mapping.resident_bytes()
