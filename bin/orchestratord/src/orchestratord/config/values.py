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
