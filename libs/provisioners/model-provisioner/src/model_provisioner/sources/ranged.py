"""Reading a file over HTTP from an offset, only if it is still the same file."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from model_provisioner.errors import SourceError
from model_provisioner.retries import InterruptedFetchError
from model_provisioner.sources.port import Body
from model_provisioner.web import Credentials, WebClient, refusal, shown

_CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-(?P<end>\d+)/(?P<total>\d+|\*)")
_RANGE_REFUSED = frozenset({412, 416})


@asynccontextmanager
async def open_ranged(
    client: WebClient,
    url: str,
    *,
    offset_bytes: int,
    validator: str | None,
    is_content_known: bool = False,
    credentials: Credentials | None = None,
) -> AsyncIterator[Body]:
    """The content from the offset, or from 0 where that cannot be had.

    `is_content_known`: a digest will tell whether both halves belong together, so that a range may
    be asked for without a validator.
    """
    if offset_bytes and (validator is not None or is_content_known):
        headers = {"Range": f"bytes={offset_bytes}-"}
        if validator is not None:
            headers["If-Range"] = validator
        async with client.get(
            url, headers=headers, credentials=credentials, accept=_RANGE_REFUSED
        ) as response:
            continued = _continued(response, offset_bytes, validator)
            if continued is not None:
                yield continued
                return
    async with client.get(url, credentials=credentials) as response:
        if response.status != 200:
            raise refusal(shown(url), response)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            reason = "it sends the file compressed, though that was not asked for"
            raise SourceError(shown(url), reason, retriable=False)
        yield _whole(response)


def _continued(
    response: aiohttp.ClientResponse, offset_bytes: int, validator: str | None
) -> Body | None:
    """What the answer to a range is good for; None: ask again from the start."""
    if response.status == 200:
        return _whole(response)
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status != 206 or found is None or int(found["start"]) != offset_bytes:
        return None
    if validator is not None and _validator(response.headers) not in {None, validator}:
        return None  # The server ignores If-Range and sends the end of another file.
    total = None if found["total"] == "*" else int(found["total"])
    return Body(offset_bytes, total, validator or _validator(response.headers), _chunks(response))


def _whole(response: aiohttp.ClientResponse) -> Body:
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    return Body(0, total, _validator(response.headers), _chunks(response))


def _validator(headers: Mapping[str, str]) -> str | None:
    """A strong ETag, else the date of the last change (RFC 9110, 13.1.5)."""
    etag = headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    return headers.get("Last-Modified")


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise InterruptedFetchError(
            shown(str(response.url)), f"it broke off: {str(error) or type(error).__name__}"
        ) from error
