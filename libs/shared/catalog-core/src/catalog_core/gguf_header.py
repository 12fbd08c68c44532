"""Reads what a GGUF file says about itself, and holds that its tensors are really in it."""

from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from catalog_core.entries import GgufHeader
from catalog_core.errors import ModelFileError
from catalog_core.gguf_source import ArrayLength, GgufSource, Value
from catalog_core.gguf_types import (
    DEFAULT_ALIGNMENT,
    FILE_TYPES,
    MAGIC,
    MAX_DIMENSIONS,
    TENSOR_TYPES,
    VERSIONS,
)

_MAX_KEYS = 100_000
_MAX_TENSORS = 1_000_000
_MAX_ELEMENTS = 2**63 - 1
_LEAST_KEY_BYTES = 8 + 4 + 1
_LEAST_TENSOR_BYTES = 8 + 4 + 4 + 8
_SHOWN_LENGTH = 80


def read_gguf_header(path: Path) -> GgufHeader:
    """The facts of a file on disk; raises ModelFileError for one that cannot be served."""
    return _whole(read_gguf_part(path), path)


@dataclass(frozen=True, slots=True)
class SplitPart:
    """Which part of a split model a file is."""

    number: int
    """From 0."""
    count: int
    tensor_count: int | None
    """Of all parts together."""


def read_gguf_part(path: Path) -> tuple[GgufHeader, SplitPart | None]:
    """The facts of a file, and which part it is of a split model, if of any."""
    try:
        stat = path.stat()
        if not S_ISREG(stat.st_mode):
            # A pipe would be waited for, a device never ends.
            raise ModelFileError(path, "it is no regular file", advice="Name a .gguf file.")
        with path.open("rb") as file:
            return _parse(file, size_bytes=stat.st_size, path=path)
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or error}"
        raise ModelFileError(
            path, reason, advice="Check the path and its permissions.", retriable=True
        ) from error


def parse_gguf_header(data: bytes, *, path: Path | None = None) -> GgufHeader:
    """The facts of a file given as bytes."""
    return _whole(_parse(BytesIO(data), size_bytes=len(data), path=path), path)


def _whole(found: tuple[GgufHeader, SplitPart | None], path: Path | None) -> GgufHeader:
    header, part = found
    if part is not None:
        raise ModelFileError(
            path,
            f"it is one of {part.count} parts of a split model",
            advice="Name it as the first of its parts, all in one folder, NAME-00001-of-0000N.gguf,"
            " or merge them with llama-gguf-split --merge.",
        )
    return header


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    type_name: str
    elements: int
    size_bytes: int
    offset: int
    """From the start of the tensor data."""


def _parse(
    file: BinaryIO, *, size_bytes: int, path: Path | None
) -> tuple[GgufHeader, SplitPart | None]:
    source = GgufSource(file, size_bytes=size_bytes, path=path)
    version = _version(source)
    tensor_count = _count(source, "tensors", most=_MAX_TENSORS, least_bytes=_LEAST_TENSOR_BYTES)
    key_count = _count(source, "metadata keys", most=_MAX_KEYS, least_bytes=_LEAST_KEY_BYTES)
    metadata = _metadata(source, key_count)
    tensors = _tensors(source, tensor_count)
    part = _part(metadata)
    _require_data(source, tensors, alignment=_alignment(source, metadata))
    return _facts(source, metadata, tensors, version=version, part=part), part


def _version(source: GgufSource) -> int:
    magic = source.read(4, "the magic number")
    if magic != MAGIC:
        raise source.error(
            f"it begins with {magic!r}, not with {MAGIC!r}: it is no GGUF file",
            advice="Name a .gguf file, or convert the model to GGUF.",
        )
    version = source.uint32("the version")
    if version in VERSIONS:
        return version
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    reason = (
        "it is big-endian"
        if swapped in VERSIONS
        else f"GGUF version {version} is not one of {', '.join(map(str, VERSIONS))}"
    )
    raise source.error(reason, advice="Convert the model again with a current llama.cpp.")


def _count(source: GgufSource, what: str, *, most: int, least_bytes: int) -> int:
    count = source.uint64(f"the number of {what}")
    if count > most or count * least_bytes > source.size_bytes:
        raise source.error(
            f"it claims {count} {what}, which cannot be in {source.size_bytes} bytes"
        )
    return count


def _metadata(source: GgufSource, count: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for index in range(count):
        key = source.string(f"metadata key {index + 1} of {count}")
        if key in found:
            raise source.error(f"the metadata key {_shown(key)} occurs twice")
        value_type = source.uint32(f"the type of {_shown(key)}")
        found[key] = source.value(value_type, _shown(key))
    return found


def _tensors(source: GgufSource, count: int) -> list[_Tensor]:
    return [_tensor(source, f"tensor {index + 1} of {count}") for index in range(count)]


def _tensor(source: GgufSource, what: str) -> _Tensor:
    name = source.string(f"the name of {what}")
    what = f"tensor {_shown(name)}"
    rank = source.uint32(f"the rank of {what}")
    if rank > MAX_DIMENSIONS:
        raise source.error(f"{what} has {rank} dimensions, at most {MAX_DIMENSIONS} are possible")
    dimensions = [source.uint64(f"a dimension of {what}") for _ in range(rank)]
    type_number = source.uint32(f"the type of {what}")
    offset = source.uint64(f"the offset of {what}")
    elements = prod(dimensions)
    if elements > _MAX_ELEMENTS:
        raise source.error(f"{what} claims {elements} elements")
    if type_number not in TENSOR_TYPES:
        # An engine may know a newer type than this list does: only its offset can be checked.
        return _Tensor(name, f"type {type_number}", elements, 0, offset)
    type_name, block, block_bytes = TENSOR_TYPES[type_number]
    if dimensions and dimensions[0] % block:
        raise source.error(f"{what} has rows of {dimensions[0]}, which {type_name} cannot hold")
    return _Tensor(name, type_name, elements, elements // block * block_bytes, offset)


def _alignment(source: GgufSource, metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise source.error(f"general.alignment is {alignment!r}, it must be a power of two")
    return alignment


def _part(metadata: dict[str, Value]) -> SplitPart | None:
    count = _number(metadata, "split.count")
    if count is None or count < 2:
        return None
    number = _number(metadata, "split.no") or 0
    return SplitPart(number, count, _number(metadata, "split.tensors.count"))


def _require_data(source: GgufSource, tensors: list[_Tensor], *, alignment: int) -> None:
    data_start = -(-source.offset // alignment) * alignment
    last = max(tensors, key=lambda tensor: tensor.offset + tensor.size_bytes, default=None)
    if last is None:
        return
    needed_bytes = data_start + last.offset + last.size_bytes
    if needed_bytes > source.size_bytes:
        raise source.error(
            f"it is truncated: tensor {_shown(last.name)} ends at byte {needed_bytes}, the file "
            f"at {source.size_bytes}, {needed_bytes - source.size_bytes} bytes are missing",
            advice="Fetch it again.",
        )


def _facts(
    source: GgufSource,
    metadata: dict[str, Value],
    tensors: list[_Tensor],
    *,
    version: int,
    part: SplitPart | None,
) -> GgufHeader:
    architecture = metadata.get("general.architecture")
    if part is not None and part.number > 0 and architecture is None:
        architecture = "part"  # Only the first part tells.
    if not isinstance(architecture, str) or not architecture:
        raise source.error("general.architecture is missing, so no engine can tell what it is")
    name = metadata.get("general.name")
    tokens = metadata.get("tokenizer.ggml.tokens")
    return GgufHeader(
        version=version,
        architecture=architecture,
        name=name if isinstance(name, str) else None,
        quantization=_quantization(metadata, tensors),
        size_bytes=source.size_bytes,
        tensor_count=len(tensors),
        tensor_bytes=sum(tensor.size_bytes for tensor in tensors),
        parameter_count=sum(tensor.elements for tensor in tensors),
        context_length=_number(metadata, f"{architecture}.context_length"),
        embedding_length=_number(metadata, f"{architecture}.embedding_length"),
        block_count=_number(metadata, f"{architecture}.block_count"),
        head_count=_number(metadata, f"{architecture}.attention.head_count"),
        head_count_kv=_number(metadata, f"{architecture}.attention.head_count_kv"),
        vocab_size=tokens
        if isinstance(tokens, ArrayLength)
        else _number(metadata, f"{architecture}.vocab_size"),
        has_chat_template=isinstance(metadata.get("tokenizer.chat_template"), str),
    )


def _quantization(metadata: dict[str, Value], tensors: list[_Tensor]) -> str:
    file_type = _number(metadata, "general.file_type")
    if file_type is not None and file_type in FILE_TYPES:
        return FILE_TYPES[file_type]
    by_bytes: Counter[str] = Counter()
    for tensor in tensors:
        by_bytes[tensor.type_name] += tensor.size_bytes
    return by_bytes.most_common(1)[0][0] if by_bytes else "unknown"


def _number(metadata: dict[str, Value], key: str) -> int | None:
    value = metadata.get(key)
    candidates = value if isinstance(value, tuple) else (value,)
    numbers = [
        each
        for each in candidates
        if isinstance(each, int) and not isinstance(each, bool | ArrayLength) and each >= 0
    ]
    return max(numbers, default=None)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…")
