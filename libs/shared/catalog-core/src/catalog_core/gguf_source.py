"""Bounded reading of a GGUF file: no length is believed before it is held against the file."""

import struct
from pathlib import Path
from typing import BinaryIO

from catalog_core.errors import ModelFileError
from catalog_core.gguf_types import ARRAY, BOOL, SCALAR_FORMATS, STRING

Scalar = int | float | bool | str

_KEPT_ELEMENTS = 4096
"""Arrays up to this length are kept (per-block head counts); of longer ones only the length."""
_MAX_STRINGS = 8_000_000
"""In one header: ten times the largest vocabulary with its merges."""
_MAX_KEPT_STRING_BYTES = 16 * 1024 * 1024


class ArrayLength(int):
    """Stands for an array too long to keep."""


Value = Scalar | tuple[Scalar, ...] | ArrayLength


class GgufSource:
    """A cursor over a file of known size whose every failure says what was read and where."""

    def __init__(self, file: BinaryIO, *, size_bytes: int, path: Path | None) -> None:
        self._file = file
        self._path = path
        self._strings = 0
        self.size_bytes = size_bytes
        self.offset = 0

    def error(self, reason: str, *, advice: str | None = None) -> ModelFileError:
        """The typed error for what is wrong at the cursor."""
        if advice is None:
            return ModelFileError(self._path, reason, offset=self.offset)
        return ModelFileError(self._path, reason, offset=self.offset, advice=advice)

    def read(self, length: int, what: str) -> bytes:
        """The next bytes, none of which is allocated before it is known to be there."""
        self._require(length, what)
        data = self._file.read(length)
        if len(data) != length:
            raise self.error(f"it ends while {what} is read, though its size promises more")
        self.offset += length
        return data

    def skip(self, length: int, what: str) -> None:
        """Step over bytes that are there."""
        self._require(length, what)
        self._file.seek(length, 1)
        self.offset += length

    def scalar(self, value_type: int, what: str) -> int | float | bool:
        """One number of the given type."""
        layout = struct.Struct(f"<{SCALAR_FORMATS[value_type]}")
        (value,) = layout.unpack(self.read(layout.size, what))
        return bool(value) if value_type == BOOL else value

    def uint32(self, what: str) -> int:
        """An unsigned 32-bit number."""
        return int.from_bytes(self.read(4, what), "little")

    def uint64(self, what: str) -> int:
        """An unsigned 64-bit number."""
        return int.from_bytes(self.read(8, what), "little")

    def string(self, what: str) -> str:
        """A string, with replacement characters where it is not UTF-8."""
        length = self.uint64(f"the length of {what}")
        if length > _MAX_KEPT_STRING_BYTES:
            raise self.error(f"{what} claims {length} bytes, more than {_MAX_KEPT_STRING_BYTES}")
        return self.read(length, what).decode(errors="replace")

    def value(self, value_type: int, what: str) -> Value:
        """One metadata value; a long array is stepped over and only its length is returned."""
        if value_type in SCALAR_FORMATS:
            return self.scalar(value_type, what)
        if value_type == STRING:
            return self.string(what)
        if value_type == ARRAY:
            return self._array(what)
        raise self.error(f"{what} has the unknown value type {value_type}")

    def _array(self, what: str) -> tuple[Scalar, ...] | ArrayLength:
        element_type = self.uint32(f"the element type of {what}")
        length = self.uint64(f"the length of {what}")
        if element_type == STRING:
            self._skip_strings(length, what)
            return ArrayLength(length)
        if element_type not in SCALAR_FORMATS:
            raise self.error(f"{what} is an array of the unsupported element type {element_type}")
        if length > _KEPT_ELEMENTS:
            self.skip(length * struct.calcsize(f"<{SCALAR_FORMATS[element_type]}"), what)
            return ArrayLength(length)
        return tuple(self.scalar(element_type, what) for _ in range(length))

    def _skip_strings(self, count: int, what: str) -> None:
        self._strings += count
        if self._strings > _MAX_STRINGS:
            raise self.error(f"{what} claims {count} strings; all arrays may have {_MAX_STRINGS}")
        # Each string needs its length at least, so an absurd count never starts the loop.
        self._require(8 * count, what)
        for _ in range(count):
            self.skip(self.uint64(what), what)

    def _require(self, length: int, what: str) -> None:
        left = self.size_bytes - self.offset
        if length > left:
            raise self.error(
                f"{what} needs {length} bytes, but only {left} are left: it is truncated"
            )
