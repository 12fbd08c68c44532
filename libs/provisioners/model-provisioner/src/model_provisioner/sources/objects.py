"""A model in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob.

obstore makes the connections itself, so the policy is asked for the store's endpoint, once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from catalog_core import ObjectLocation, RefScheme, require_plain_path, shard_names
from model_provisioner.errors import SourceError, SourceMissingError
from model_provisioner.retries import InterruptedFetchError
from model_provisioner.settings import FetchSettings
from model_provisioner.sources.choosing import choose_files
from model_provisioner.sources.port import Body, RemoteFile
from model_provisioner.web import endpoint_of

_CHUNK_BYTES = 128 * 1024
"""What obstore gathers before it hands it over, and loses when the connection breaks."""


class Bucket:
    """One object, all parts of a split model, or the objects below a key that ends with a slash."""

    def __init__(
        self, scheme: RefScheme, location: ObjectLocation, settings: FetchSettings
    ) -> None:
        options = dict(settings.object_store_options.get(scheme, {}))
        endpoint = _endpoint(scheme, options)
        settings.policy.check(endpoint_of(endpoint))
        self._location = location
        self._place = f"{scheme}:{location.bucket}"
        self._idle_timeout_s = settings.idle_timeout_s
        self._obstore = _library(self._place)
        self._store = _store(self._obstore, scheme, location.bucket, options, endpoint)

    async def files(self) -> tuple[RemoteFile, ...]:
        """See `Source.files`."""
        key = self._location.key
        if key.endswith("/"):
            return await self._below(key)
        folder, slash, name = key.rpartition("/")
        return tuple(
            [
                RemoteFile(each, f"{folder}{slash}{each}", await self._size(folder + slash + each))
                for each in shard_names(name)
            ]
        )

    @asynccontextmanager
    async def open(
        self, file: RemoteFile, *, offset_bytes: int, validator: str | None
    ) -> AsyncIterator[Body]:
        """See `Source.open`."""
        options: dict[str, object] = {}
        if offset_bytes and validator is not None:
            options = {"range": {"offset": offset_bytes}, "if_match": validator}
        try:
            result = await self._get(file.locator, options)
        except self._obstore.exceptions.PreconditionError:
            options = {}
            result = await self._get(file.locator, options)
        yield Body(
            offset_bytes=offset_bytes if options else 0,
            total_bytes=result.meta["size"],
            validator=result.meta.get("e_tag"),
            chunks=self._chunks(file.locator, result),
        )

    async def _below(self, prefix: str) -> tuple[RemoteFile, ...]:
        files: dict[str, RemoteFile] = {}
        async with self._translated(prefix):
            async for batch in self._obstore.list(self._store, prefix=prefix):
                for meta in batch:
                    name = meta["path"].removeprefix(prefix)
                    require_plain_path(name)
                    files[name] = RemoteFile(name, meta["path"], meta["size"])
        return choose_files(files, f"{self._place}/{prefix.rstrip('/')}")

    async def _size(self, key: str) -> int:
        async with self._translated(key):
            meta = await self._obstore.head_async(self._store, key)
        return int(meta["size"])

    async def _get(self, key: str, options: Mapping[str, object]) -> Any:  # obstore's own type
        async with self._translated(key):
            return await self._obstore.get_async(self._store, key, options=options)

    async def _chunks(self, key: str, result: Any) -> AsyncIterator[bytes]:
        stream = result.stream(min_chunk_size=_CHUNK_BYTES)
        while True:
            async with self._translated(key):
                try:
                    chunk = await anext(stream)
                except StopAsyncIteration:
                    return
            yield bytes(chunk)

    @asynccontextmanager
    async def _translated(self, key: str) -> AsyncIterator[None]:
        """Bound the wait, and give obstore's errors the names of this library."""
        place = f"{self._place}/{key}"
        errors = self._obstore.exceptions
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                yield
        except (errors.NotFoundError, FileNotFoundError):
            raise SourceMissingError(place, "there is no such object") from None
        except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
            raise SourceError(place, _brief(error), retriable=False) from error
        except errors.PreconditionError:
            raise
        except ValueError as error:
            raise SourceError(place, str(error), retriable=False) from None
        except (errors.BaseError, TimeoutError, OSError) as error:
            raise InterruptedFetchError(place, _brief(error)) from error


def _endpoint(scheme: RefScheme, options: Mapping[str, str]) -> str:
    """Where the store is; also the option's default, so that no variable can lead elsewhere."""
    match scheme:
        case RefScheme.S3:
            region = options.get("region", "us-east-1")
            default = f"https://s3.{region}.amazonaws.com"
        case RefScheme.GS:
            return options.get("base_url", "https://storage.googleapis.com")
        case _:
            default = f"https://{options.get('account_name', 'account')}.blob.core.windows.net"
    return options.get("endpoint", default)


def _library(place: str) -> Any:
    try:
        import obstore
        import obstore.store
    except ImportError:
        raise SourceError(
            place,
            "fetching from object stores needs the library obstore",
            retriable=False,
            hint="Install model-provisioner[objects].",
        ) from None
    return obstore


def _store(
    library: Any, scheme: RefScheme, bucket: str, options: Mapping[str, str], endpoint: str
) -> Any:
    client = {
        "allow_http": endpoint.startswith("http:"),
        # Its limit is for a whole download; the idle limit above bounds each wait instead.
        "timeout": "30 days",
    }
    stores = library.store
    kind, endpoint_option = {
        RefScheme.S3: (stores.S3Store, "endpoint"),
        RefScheme.GS: (stores.GCSStore, "base_url"),
        RefScheme.AZ: (stores.AzureStore, "endpoint"),
    }[scheme]
    try:
        return kind(
            bucket,
            config={**options, endpoint_option: endpoint},
            client_options=client,
            # Attempts are counted in one place, the download.
            retry_config={"max_retries": 0},
        )
    except library.exceptions.BaseError as error:
        raise SourceError(f"{scheme}:{bucket}", _brief(error), retriable=False) from error


def _brief(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0][:300]
