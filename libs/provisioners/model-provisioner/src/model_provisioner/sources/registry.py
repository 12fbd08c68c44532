"""A model as an artifact of an OCI registry: manifest, then layers as blobs.

The three calls of the distribution specification that a download needs are made here: a client
library would bring pushing, signing and its own connections, which go past the network policy.
"""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalog_core import RegistryLocation, require_plain_path
from model_provisioner.errors import SourceError, SourceMissingError, UnauthorizedError
from model_provisioner.settings import FetchSettings
from model_provisioner.sources.choosing import choose_files
from model_provisioner.sources.port import Body, RemoteFile
from model_provisioner.sources.ranged import open_ranged
from model_provisioner.web import Credentials, WebClient, endpoint_of, read_bounded, refusal, shown

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_MODEL_LAYERS = frozenset(
    {"application/vnd.ollama.image.model", "application/vnd.docker.ai.gguf.v3"}
)
"""Media types of GGUF files that bear no title."""
_TITLE = "org.opencontainers.image.title"
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_MOST_INDEXES = 3


class _Layer(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int = Field(ge=0)
    media_type: str = Field(default="", alias="mediaType")
    annotations: dict[str, str] = Field(default_factory=dict)


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    layers: tuple[_Layer, ...] = ()
    manifests: tuple[_Layer, ...] = ()
    """Of an index: the manifests it points to."""


class _Token(BaseModel):
    model_config = ConfigDict(extra="ignore")

    token: str | None = None
    access_token: str | None = None


class Registry:
    """The layers of one artifact; their digests are the content's."""

    def __init__(
        self, client: WebClient, location: RegistryLocation, settings: FetchSettings
    ) -> None:
        self._client = client
        self._location = location
        plain = f"http://{location.registry}"
        may_be_plain = settings.policy.may_be_plain(endpoint_of(plain))
        self._root = plain if may_be_plain else f"https://{location.registry}"
        self._login = settings.registry_credentials.get(location.registry)
        self._credentials: Credentials | None = None

    async def files(self) -> tuple[RemoteFile, ...]:
        """See `Source.files`."""
        reference = self._location.reference
        for _ in range(_MOST_INDEXES):
            manifest = await self._manifest(reference)
            if not manifest.manifests:
                return self._files_of(manifest)
            if len(manifest.manifests) > 1:
                digests = tuple(each.digest for each in manifest.manifests)
                raise SourceMissingError(
                    self._place, f"it is a list of {len(digests)} artifacts; name one", digests
                )
            reference = manifest.manifests[0].digest
        raise SourceError(self._place, "lists of lists of artifacts", retriable=False)

    @asynccontextmanager
    async def open(
        self, file: RemoteFile, *, offset_bytes: int, validator: str | None
    ) -> AsyncIterator[Body]:
        """See `Source.open`."""
        async with AsyncExitStack() as stack:
            try:
                body = await stack.enter_async_context(self._opened(file, offset_bytes, validator))
            except UnauthorizedError:
                # Tokens live for minutes, a download may take hours.
                if self._credentials is None:
                    raise
                self._credentials = None
                await self._manifest(self._location.reference)
                body = await stack.enter_async_context(self._opened(file, offset_bytes, validator))
            yield body

    def _opened(
        self, file: RemoteFile, offset_bytes: int, validator: str | None
    ) -> AbstractAsyncContextManager[Body]:
        return open_ranged(
            self._client,
            file.locator,
            offset_bytes=offset_bytes,
            validator=validator,
            is_content_known=True,
            credentials=self._credentials,
        )

    @property
    def _place(self) -> str:
        return f"oci:{self._location.registry}/{self._location.repository}"

    def _url(self, kind: str, what: str) -> str:
        return f"{self._root}/v2/{self._location.repository}/{kind}/{what}"

    async def _manifest(self, reference: str) -> _Manifest:
        data = await self._authorized(self._url("manifests", reference))
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if reference.startswith("sha256:") and found != reference:
            raise SourceError(
                self._place, f"its manifest {reference} has the digest {found}", retriable=False
            )
        try:
            return _Manifest.model_validate_json(data)
        except ValidationError:
            raise SourceError(self._place, "it sent no manifest", retriable=False) from None

    async def _authorized(self, url: str) -> bytes:
        headers = {"Accept": ", ".join(_MANIFESTS)}
        async with self._client.get(
            url, headers=headers, credentials=self._credentials, accept=frozenset({401})
        ) as response:
            if response.status != 401:
                return await read_bounded(response)
            challenge = response.headers.get("WWW-Authenticate", "")
            refused = refusal(shown(url), response)
        if self._credentials is not None:
            raise refused
        self._credentials = Credentials(self._root, await self._answer(challenge, refused))
        return await self._client.read(url, headers=headers, credentials=self._credentials)

    async def _answer(self, challenge: str, refused: Exception) -> dict[str, str]:
        """The header that a challenge asks for; anonymous tokens need no login."""
        basic = None
        if self._login is not None:
            basic = "Basic " + base64.b64encode(":".join(self._login).encode()).decode()
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and basic is not None:
            return {"Authorization": basic}
        told = dict(_CHALLENGE.findall(rest))
        if scheme.lower() != "bearer" or "realm" not in told:
            raise refused
        query = urlencode({key: told[key] for key in ("service", "scope") if key in told})
        # The realm is another origin, named by the registry: the policy is asked for it, too.
        login = Credentials(told["realm"], {"Authorization": basic} if basic else {})
        data = await self._client.read(f"{told['realm']}?{query}", credentials=login)
        try:
            answer = _Token.model_validate_json(data)
        except ValidationError:
            raise refused from None
        return {"Authorization": f"Bearer {answer.token or answer.access_token or ''}"}

    def _files_of(self, manifest: _Manifest) -> tuple[RemoteFile, ...]:
        files: dict[str, RemoteFile] = {}
        for layer in manifest.layers:
            name = layer.annotations.get(_TITLE)
            if name is None and layer.media_type in _MODEL_LAYERS:
                name = f"{self._location.name}.gguf"
            if name is None:
                continue
            try:
                require_plain_path(name)
            except ValueError as error:
                raise SourceError(self._place, str(error), retriable=False) from None
            files[name] = RemoteFile(
                name, self._url("blobs", layer.digest), layer.size, layer.digest
            )
        return choose_files(files, self._place)
