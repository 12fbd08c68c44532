"""A model at an http: or https: address."""

from contextlib import AbstractAsyncContextManager
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from catalog_core import WebLocation, shard_names
from model_provisioner.sources.port import Body, RemoteFile
from model_provisioner.sources.ranged import open_ranged
from model_provisioner.web import WebClient


class Website:
    """One file, or all parts if the address is that of one part of a split model."""

    def __init__(self, client: WebClient, location: WebLocation) -> None:
        self._client = client
        self._url = location.url
        self._name = location.name

    async def files(self) -> tuple[RemoteFile, ...]:
        """See `Source.files`; sizes become known with each file."""
        return tuple(RemoteFile(name, _beside(self._url, name)) for name in shard_names(self._name))

    def open(
        self, file: RemoteFile, *, offset_bytes: int, validator: str | None
    ) -> AbstractAsyncContextManager[Body]:
        """See `Source.open`."""
        return open_ranged(
            self._client, file.locator, offset_bytes=offset_bytes, validator=validator
        )


def _beside(url: str, name: str) -> str:
    parts = urlsplit(url)
    folder, slash, last = parts.path.rpartition("/")
    if unquote(last) == name:
        return url
    return urlunsplit(parts._replace(path=f"{folder}{slash}{quote(name)}"))
