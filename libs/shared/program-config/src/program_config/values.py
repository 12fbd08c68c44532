"""The kinds of values that settings have, read from text as well as from TOML."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, PlainSerializer, TypeAdapter

from program_config.addresses import BindAddress

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]


def _parse_bind(value: Any) -> Any:
    return BindAddress.parse(value) if isinstance(value, str) else value


def _split_list(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(item for item in (part.strip() for part in value.split(",")) if item)
    return value


def _split_map(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in _split_list(value)]
    if bad := [key for key, separator, target in pairs if not (separator and key and target)]:
        raise ValueError(f"must be name=target, name=target, …; {bad[0]!r} is not a pair")
    return {key.strip(): target.strip() for key, _, target in pairs}


def _parse_bytes(value: Any) -> Any:
    return int(_BYTE_SIZE.validate_python(value)) if isinstance(value, str) else value


_BYTE_SIZE = TypeAdapter(ByteSize)

Bytes = Annotated[int, BeforeValidator(_parse_bytes), Field(ge=1)]
"""A number, or a number with a unit (`4 MiB`)."""
Bind = Annotated[BindAddress, BeforeValidator(_parse_bind), PlainSerializer(str)]
TextList = Annotated[tuple[str, ...], BeforeValidator(_split_list)]
TextMap = Annotated[dict[str, str], BeforeValidator(_split_map)]
PriceMap = Annotated[
    dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]], BeforeValidator(_split_map)
]
"""What something costs, by name."""
Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser())]
