"""Which files make up a model, and what they say together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog_core.entries import GgufHeader, ModelFormat
from catalog_core.errors import ModelFileError
from catalog_core.gguf_header import read_gguf_header, read_gguf_part
from catalog_core.safetensors_header import read_safetensors_folder
from catalog_core.shards import shard_names

CONFIG_NAME = "config.json"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the files of a model say together."""

    path: Path
    """What an engine is given: the file, the first of several parts, or the folder."""
    format: ModelFormat
    header: GgufHeader


def files_of_model(path: Path) -> tuple[Path, ...]:
    """The files that belong to a model on this disk: itself, all parts, or those in its folder."""
    if path.is_dir():
        found = [
            each
            for each in sorted(path.rglob("*"))
            if each.is_file() and not any(p.startswith(".") for p in each.relative_to(path).parts)
        ]
        if not found:
            raise ModelFileError(path, "the folder is empty", advice="Name a model.")
        return tuple(found)
    return tuple(path.with_name(name) for name in shard_names(path.name))


def read_model(folder: Path, paths: Sequence[Path]) -> ModelFacts:
    """What the files say; raises ModelFileError if they are not one whole model.

    `folder` is what the files lie in; an engine for safetensors is given it.
    """
    try:
        ggufs = sorted(path for path in paths if path.suffix == ".gguf")
        if ggufs:
            header = _read_gguf(ggufs)
            return ModelFacts(path=ggufs[0], format=ModelFormat.GGUF, header=header)
        weights = tuple(sorted(path for path in paths if path.suffix == ".safetensors"))
        config = folder / CONFIG_NAME
        if weights and config in paths:
            header = read_safetensors_folder(config, weights)
            return ModelFacts(path=folder, format=ModelFormat.SAFETENSORS, header=header)
        if len(paths) == 1:
            # A file may have any name; its content decides.
            header = read_gguf_header(paths[0])
            return ModelFacts(path=paths[0], format=ModelFormat.GGUF, header=header)
    except OSError as error:
        raise ModelFileError(
            folder,
            f"it cannot be read: {error.strerror or error}",
            advice="Check the path and its permissions.",
            retriable=True,
        ) from error
    raise ModelFileError(
        folder,
        "it holds neither a .gguf file nor config.json with .safetensors files",
        advice="Name a model in one of these formats.",
    )


def _read_gguf(paths: Sequence[Path]) -> GgufHeader:
    first = paths[0]
    if len(paths) == 1:
        return read_gguf_header(first)
    if tuple(path.name for path in paths) != shard_names(first.name):
        raise ModelFileError(
            first,
            f"{len(paths)} .gguf files are here which are not the parts of one model",
            advice="Name one of them.",
        )
    parts = [(path, *read_gguf_part(path)) for path in paths]
    for number, (path, _, part) in enumerate(parts):
        if part is None or (part.number, part.count) != (number, len(parts)):
            told = "no part" if part is None else f"part {part.number + 1} of {part.count}"
            raise ModelFileError(
                path, f"its name says part {number + 1} of {len(parts)}, its header {told}"
            )
    headers = [header for _, header, _ in parts]
    promised = parts[0][2].tensor_count if parts[0][2] else None
    tensor_count = sum(header.tensor_count for header in headers)
    if promised not in {None, tensor_count}:
        raise ModelFileError(
            first, f"it promises {promised} tensors, the parts have {tensor_count}"
        )
    return headers[0].model_copy(
        update={
            "size_bytes": sum(header.size_bytes for header in headers),
            "tensor_count": tensor_count,
            "tensor_bytes": sum(header.tensor_bytes for header in headers),
            "parameter_count": sum(header.parameter_count for header in headers),
        }
    )
