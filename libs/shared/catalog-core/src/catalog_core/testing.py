"""Small GGUF files and catalog entries for tests."""

import struct
from collections.abc import Mapping
from pathlib import Path

from catalog_core.crashing import crash_at
from catalog_core.entries import FileStamp, ModelEntry
from catalog_core.gguf_header import parse_gguf_header
from catalog_core.gguf_types import DEFAULT_ALIGNMENT, MAGIC

__all__ = ["METADATA", "MetadataValue", "crash_at", "gguf_bytes", "model_entry"]

MetadataValue = int | float | bool | str | list[int] | list[str]

METADATA: Mapping[str, MetadataValue] = {
    "general.architecture": "llama",
    "general.name": "tiny",
    "general.file_type": 1,
    "llama.context_length": 4096,
    "llama.embedding_length": 64,
    "llama.block_count": 2,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": [1, 2],
    "tokenizer.ggml.tokens": ["a", "b", "c"],
    "tokenizer.chat_template": "{{ messages }}",
}


def gguf_bytes(
    metadata: Mapping[str, MetadataValue] = METADATA,
    tensors: Mapping[str, tuple[int, ...]] | None = None,
    *,
    version: int = 3,
    tensor_type: int = 0,
) -> bytes:
    """A whole GGUF file; tensors are given as name and shape, of one type, and are all zeros."""
    shapes = {"token_embd.weight": (64, 3)} if tensors is None else tensors
    head = [MAGIC, struct.pack("<IQQ", version, len(shapes), len(metadata))]
    for key, value in metadata.items():
        head += [_string(key), _value(value)]
    end = 0
    for name, shape in shapes.items():
        head.append(_string(name) + struct.pack("<I", len(shape)))
        head.append(struct.pack(f"<{len(shape)}QIQ", *shape, tensor_type, end))
        elements = 1
        for dimension in shape:
            elements *= dimension
        end += _aligned(4 * elements)
    header = b"".join(head)
    return header.ljust(_aligned(len(header)), b"\0") + bytes(end)


def model_entry(model_id: str, *, now_ms: int = 0, path: Path | None = None) -> ModelEntry:
    """An entry that names a file which need not exist."""
    data = gguf_bytes()
    place = path or Path("/models") / f"{model_id}.gguf"
    return ModelEntry(
        id=model_id,
        reference=f"file:{place}",
        path=place,
        digest=f"sha256:{'0' * 64}",
        size_bytes=len(data),
        header=parse_gguf_header(data),
        stamp=FileStamp(size_bytes=len(data), mtime_ns=0, inode=1),
        created_ms=now_ms,
        last_used_ms=now_ms,
    )


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: MetadataValue) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<IQ", 10, value)
        case float():
            return struct.pack("<Id", 12, value)
        case str():
            return struct.pack("<I", 8) + _string(value)
        case list():
            is_text = bool(value) and isinstance(value[0], str)
            elements = [
                _string(each) if isinstance(each, str) else struct.pack("<Q", each)
                for each in value
            ]
            head = struct.pack("<IIQ", 9, 8 if is_text else 10, len(value))
            return head + b"".join(elements)


def _aligned(length: int) -> int:
    return -(-length // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT
