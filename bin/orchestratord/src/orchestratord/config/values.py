"""The kinds of values that settings have, read from text as well as from TOML."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, PlainSerializer, TypeAdapter

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]


@dataclass(frozen=True, slots=True)
class BindAddress:
    """Where a server listens; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port`, with an IPv6 address in brackets."""
        host, separator, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not separator or not host or (":" in host and not bracketed):
            raise ValueError("must be host:port, with an IPv6 address in brackets")
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ValueError(f"the port must be a number from 0 to 65535, not {port!r}")
        return cls(host[1:-1] if bracketed else host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback_host(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_loopback_host(host: str) -> bool:
    """Tell whether a name or address means this machine, without asking a resolver."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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


def _file_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "file":
        raise ValueError("this version keeps artifacts in a local folder: use file:///path")
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError("must name an absolute folder of this machine: file:///path")
    return value


def file_url_path(url: str) -> Path:
    """Return the folder that a `file:` URL names."""
    return Path(unquote(urlsplit(url).path))


_BYTE_SIZE = TypeAdapter(ByteSize)

Bytes = Annotated[int, BeforeValidator(_parse_bytes), Field(ge=1)]
"""A number, or a number with a unit (`4 MiB`)."""
Bind = Annotated[BindAddress, BeforeValidator(_parse_bind), PlainSerializer(str)]
TextList = Annotated[tuple[str, ...], BeforeValidator(_split_list)]
TextMap = Annotated[dict[str, str], BeforeValidator(_split_map)]
FileUrl = Annotated[str, AfterValidator(_file_url)]
Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser())]
