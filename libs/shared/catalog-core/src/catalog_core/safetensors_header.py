"""Reads what a folder of safetensors files says about itself."""

import json
from math import prod
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalog_core.entries import GgufHeader
from catalog_core.errors import ModelFileError

_MAX_HEADER_BYTES = 100_000_000
_MAX_CONFIG_BYTES = 10_000_000


class _Config(BaseModel):
    """The part of a config.json that tells what the model is."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model_type: str = Field(min_length=1)
    torch_dtype: str | None = None
    dtype: str | None = None
    max_position_embeddings: int | None = Field(default=None, ge=0)
    hidden_size: int | None = Field(default=None, ge=0)
    num_hidden_layers: int | None = Field(default=None, ge=0)
    num_attention_heads: int | None = Field(default=None, ge=0)
    num_key_value_heads: int | None = Field(default=None, ge=0)
    vocab_size: int | None = Field(default=None, ge=0)


def read_safetensors_folder(config: Path, weights: tuple[Path, ...]) -> GgufHeader:
    """The facts of the model; raises ModelFileError if a file is truncated or no such file."""
    told = _read_config(config)
    tensors = [shape for path in weights for shape in _read_shapes(path)]
    return GgufHeader(
        version=0,
        architecture=told.model_type,
        quantization=told.dtype or told.torch_dtype or "unknown",
        size_bytes=sum(path.stat().st_size for path in weights),
        tensor_count=len(tensors),
        tensor_bytes=sum(size_bytes for size_bytes, _ in tensors),
        parameter_count=sum(elements for _, elements in tensors),
        context_length=told.max_position_embeddings,
        embedding_length=told.hidden_size,
        block_count=told.num_hidden_layers,
        head_count=told.num_attention_heads,
        head_count_kv=told.num_key_value_heads,
        vocab_size=told.vocab_size,
        has_chat_template=_has_chat_template(config.parent),
    )


def _read_config(path: Path) -> _Config:
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ModelFileError(path, f"it has more than {_MAX_CONFIG_BYTES} bytes")
        return _Config.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(path, f"{where or 'it'}: {first['msg']}") from None


def _read_shapes(path: Path) -> list[tuple[int, int]]:
    """Size and number of elements of each tensor; the last one must end where the file does."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_MAX_HEADER_BYTES, size_bytes - 8):
            raise ModelFileError(
                path, f"its header claims {length} bytes, the file has {size_bytes}", offset=0
            )
        head = file.read(length)
    try:
        tensors = json.loads(head)
        found = [
            (each["data_offsets"][1] - each["data_offsets"][0], prod(each["shape"]))
            for name, each in tensors.items()
            if name != "__metadata__"
        ]
        ends = [each["data_offsets"][1] for name, each in tensors.items() if name != "__metadata__"]
        end_bytes = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise ModelFileError(path, "its header is not that of a safetensors file") from None
    if end_bytes != size_bytes:
        raise ModelFileError(path, f"its tensors end at byte {end_bytes}, the file at {size_bytes}")
    return found


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").exists():
        return True
    tokenizer = folder / "tokenizer_config.json"
    if not tokenizer.exists() or tokenizer.stat().st_size > _MAX_CONFIG_BYTES:
        return False
    return b'"chat_template"' in tokenizer.read_bytes()
