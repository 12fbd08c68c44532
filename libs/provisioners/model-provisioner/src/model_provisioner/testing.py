"""A server of models with faults: files over HTTP, a Hugging Face hub, an OCI registry."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

_CHUNK_BYTES = 64 * 1024
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time."""

    cuts: list[int] = field(default_factory=list)
    """The connection of the next answer is cut after so many of its bytes, and so on."""
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """The next answers have this status and these headers, whatever is asked for."""
    has_ranges: bool = True
    has_etags: bool = True
    has_lengths: bool = True
    ignores_if_range: bool = False
    before_body: Callable[[str], Awaitable[None]] | None = None
    """Awaited with the path before each body is sent: a gate for tests."""


class ModelServer:
    """Serves `files` by path; knows what was asked. It stands for several kinds of sources."""

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        """By path, which begins with a slash."""
        self.redirects: dict[str, str] = {}
        self.faults = Faults()
        self.requests: list[web.BaseRequest] = []
        self.sent_bytes = 0
        """Of all bodies, also of those that were cut."""

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["ModelServer"]:
        """A server on a free port of this machine."""
        server = cls()
        runner = web.ServerRunner(web.Server(server._answer), shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            server.url = f"http://{host}:{port}"
            yield server
        finally:
            await runner.cleanup()

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    def bodies(self, path: str) -> list[str | None]:
        """The Range header of each request for a path."""
        return [each.headers.get("Range") for each in self.requests if each.path == path]

    def add_repository(
        self, name: str, files: dict[str, bytes], *, has_digests: bool = True
    ) -> None:
        """Serve a repository of a hub; weights are large files, whose digests a hub tells."""
        siblings = []
        for path, data in files.items():
            is_large = has_digests and path.endswith((".gguf", ".safetensors"))
            lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            sibling = {"rfilename": path, "size": len(data)}
            siblings.append(sibling | ({"lfs": lfs} if is_large else {}))
            self.files[f"/{name}/resolve/{COMMIT}/{path}"] = data
            self.redirects[f"/{name}/resolve/main/{path}"] = f"/{name}/resolve/{COMMIT}/{path}"
        told = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}
        for path in (f"/api/models/{name}", f"/api/models/{name}/revision/main"):
            self.files[path] = json.dumps(told).encode()

    def add_artifact(self, repository: str, tag: str, files: dict[str, bytes]) -> str:
        """Serve an artifact of a registry; the digest of its manifest."""
        layers = []
        for name, data in files.items():
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            self.files[f"/v2/{repository}/blobs/{digest}"] = data
            layers.append(
                {
                    "mediaType": "application/octet-stream",
                    "digest": digest,
                    "size": len(data),
                    "annotations": {"org.opencontainers.image.title": name},
                }
            )
        manifest = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        for reference in (tag, digest):
            self.files[f"/v2/{repository}/manifests/{reference}"] = manifest
        return digest

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if self.faults.statuses:
            status, headers = self.faults.statuses.pop(0)
            return web.Response(status=status, headers=headers)
        if request.path in self.redirects:
            return web.Response(status=307, headers={"Location": self.redirects[request.path]})
        data = self.files.get(request.path)
        if data is None:
            # As the real hub says that the repository is there, but not the file.
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        return await self._send(request, data)

    async def _send(self, request: web.BaseRequest, data: bytes) -> web.StreamResponse:
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        response = web.StreamResponse()
        # What the real hub tells of a file, and its client asks for.
        response.headers["X-Repo-Commit"] = COMMIT
        if self.faults.has_etags:
            response.headers["ETag"] = etag
            response.last_modified = 0  # Object stores insist on one.
        start = self._start(request, etag)
        if start is not None:
            if start >= len(data):
                return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
            response.set_status(206)
            response.headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = memoryview(data)[start or 0 :]
        if self.faults.has_lengths:
            response.content_length = len(body)
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if self.faults.before_body is not None:
            await self.faults.before_body(request.path)
        cut = self.faults.cuts.pop(0) if self.faults.cuts else None
        for at in range(0, len(body), _CHUNK_BYTES):
            if cut is not None and at + _CHUNK_BYTES > cut:
                await response.write(bytes(body[at:cut]))
                self.sent_bytes += max(0, cut - at)
                if request.transport is not None:
                    request.transport.close()
                return response
            await response.write(bytes(body[at : at + _CHUNK_BYTES]))
            self.sent_bytes += len(body[at : at + _CHUNK_BYTES])
        await response.write_eof()
        return response

    def _start(self, request: web.BaseRequest, etag: str) -> int | None:
        wanted = request.headers.get("Range")
        if wanted is None or not self.faults.has_ranges:
            return None
        if_range = request.headers.get("If-Range")
        if if_range not in {None, etag} and not self.faults.ignores_if_range:
            return None
        return int(wanted.removeprefix("bytes=").partition("-")[0])
