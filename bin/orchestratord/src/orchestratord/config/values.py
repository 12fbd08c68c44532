"""The kinds of values that settings of orchestratord have besides the common ones."""

from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator


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


FileUrl = Annotated[str, AfterValidator(_file_url)]


def base_url(value: str) -> str:
    """Return the URL of a node without a slash at its end; raises ValueError."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"must be http://HOST[:PORT] or https://HOST[:PORT], not {value!r}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a URL here has no credentials, query or fragment")
    return value.rstrip("/")


def host_of(url: str) -> str | None:
    """Return the host that a URL names."""
    return urlsplit(url).hostname
