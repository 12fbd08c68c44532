"""A model in a repository of a Hugging Face hub.

The two calls of the hub that fetching needs are made here and not through huggingface_hub: that
library opens its own connections, which would go past the network policy, the resumable partial
files and the progress of this one. The tests hold the fake hub to the real library.
"""

from contextlib import AbstractAsyncContextManager
from difflib import get_close_matches
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalog_core import HubLocation, require_plain_path, shard_names
from model_provisioner.errors import SourceError, SourceMissingError
from model_provisioner.settings import FetchSettings
from model_provisioner.sources.choosing import choose_files
from model_provisioner.sources.port import Body, RemoteFile
from model_provisioner.sources.ranged import open_ranged
from model_provisioner.web import Credentials, WebClient, shown

_SHOWN_CANDIDATES = 20


class _LargeFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Sibling(BaseModel):
    model_config = ConfigDict(extra="ignore")

    rfilename: str
    size: int | None = None
    lfs: _LargeFile | None = None


class _Repository(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sha: str = Field(pattern=r"^[0-9a-zA-Z]+$")
    siblings: tuple[_Sibling, ...] = ()


class Hub:
    """The files of a repository at one commit, so that all are of the same revision."""

    def __init__(self, client: WebClient, location: HubLocation, settings: FetchSettings) -> None:
        self._client = client
        self._location = location
        self._endpoint = settings.hub_endpoint.rstrip("/")
        self._credentials = (
            Credentials(self._endpoint, {"Authorization": f"Bearer {settings.hub_token}"})
            if settings.hub_token
            else None
        )

    async def files(self) -> tuple[RemoteFile, ...]:
        """See `Source.files`."""
        repository = self._location.repository
        url = f"{self._endpoint}/api/models/{repository}"
        if self._location.revision:
            url += f"/revision/{quote(self._location.revision, safe='')}"
        data = await self._client.read(f"{url}?blobs=true", credentials=self._credentials)
        try:
            found = _Repository.model_validate_json(data)
            for sibling in found.siblings:
                require_plain_path(sibling.rfilename)
        except (ValidationError, ValueError) as error:
            reason = f"its answer is not that of a hub: {str(error)[:200]}"
            raise SourceError(shown(url), reason, retriable=False) from None
        files = {
            sibling.rfilename: RemoteFile(
                name=sibling.rfilename,
                locator=f"{self._endpoint}/{repository}/resolve/{found.sha}/"
                f"{quote(sibling.rfilename)}",
                size_bytes=sibling.size,
                digest=f"sha256:{sibling.lfs.sha256}" if sibling.lfs else None,
            )
            for sibling in found.siblings
        }
        return self._chosen(files)

    def open(
        self, file: RemoteFile, *, offset_bytes: int, validator: str | None
    ) -> AbstractAsyncContextManager[Body]:
        """See `Source.open`."""
        return open_ranged(
            self._client,
            file.locator,
            offset_bytes=offset_bytes,
            validator=validator,
            is_content_known=file.digest is not None,
            credentials=self._credentials,
        )

    def _chosen(self, files: dict[str, RemoteFile]) -> tuple[RemoteFile, ...]:
        place = f"hf:{self._location.repository}"
        path = self._location.path
        if path is None:
            return choose_files(files, place)
        if path in files:
            folder, slash, name = path.rpartition("/")
            wanted = [f"{folder}{slash}{each}" for each in shard_names(name)]
            missing = [each for each in wanted if each not in files]
            if missing:
                raise SourceMissingError(place, f"{missing[0]} is missing")
            return tuple(files[each] for each in wanted)
        below = {name: file for name, file in files.items() if name.startswith(f"{path}/")}
        if below:
            return choose_files(below, f"{place}/{path}")
        near = get_close_matches(path, files, n=5) or sorted(
            name for name in files if name.endswith(".gguf")
        )
        raise SourceMissingError(
            place,
            f"it has no {path}",
            tuple(f"{place}/{name}" for name in near[:_SHOWN_CANDIDATES]),
        )
