"""Which files of a repository or folder are one model."""

from collections.abc import Mapping

from catalog_core import shard_names
from model_provisioner.errors import SourceMissingError
from model_provisioner.sources.port import RemoteFile

_PROJECTOR = "mmproj"
_BESIDE_WEIGHTS = (".json", ".txt", ".model", ".jinja", ".tiktoken")
_SHOWN_CANDIDATES = 20


def choose_files(files: Mapping[str, RemoteFile], place: str) -> tuple[RemoteFile, ...]:
    """The one GGUF model with all its parts, or the safetensors model with what belongs to it.

    Several GGUF models, such as one in several quantizations, are told, not guessed between.
    Projectors for images (`mmproj…`) are no models of their own.
    """
    ggufs = sorted(
        name
        for name in files
        if name.endswith(".gguf") and not name.rpartition("/")[2].startswith(_PROJECTOR)
    )
    firsts = [name for name in ggufs if _parts(name)[0] == name]
    if len(firsts) > 1:
        raise SourceMissingError(
            place,
            f"it holds {len(firsts)} models; name one of them",
            tuple(f"{place}/{name}" for name in firsts[:_SHOWN_CANDIDATES]),
        )
    if ggufs:
        wanted = _parts(ggufs[0])
        missing = [name for name in wanted if name not in files]
        if missing:
            raise SourceMissingError(place, f"{missing[0]} is missing")
        return tuple(files[name] for name in wanted)
    configs = sorted((name for name in files if name.rpartition("/")[2] == "config.json"), key=len)
    if configs:
        folder = configs[0].removesuffix("config.json")
        flat = {
            name: file
            for name, file in files.items()
            if name.startswith(folder) and "/" not in name.removeprefix(folder)
        }
        weights = [name for name in flat if name.endswith(".safetensors")]
        if weights:
            beside = [name for name in flat if name.endswith(_BESIDE_WEIGHTS)]
            return tuple(flat[name] for name in sorted({*weights, *beside}))
    raise SourceMissingError(
        place, "it holds neither a .gguf file nor config.json with .safetensors files"
    )


def _parts(name: str) -> tuple[str, ...]:
    folder, slash, last = name.rpartition("/")
    return tuple(f"{folder}{slash}{each}" for each in shard_names(last))
