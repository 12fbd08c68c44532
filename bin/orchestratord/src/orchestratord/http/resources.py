"""Handlers of artifacts, and of what the daemon tells about itself."""

import json
import platform
from typing import Any

from aiohttp import web

from api_types import (
    JSON,
    ArtifactCreated,
    ArtifactList,
    ArtifactQuery,
    ArtifactRequest,
    ArtifactView,
    Liveness,
    NodeQuery,
    VersionInfo,
    openapi_document,
)
from artifact_store import ArtifactInfo
from http_shell import Call, json_answer
from orchestratord.http.handlers import Context
from orchestratord.views import API_VERSION


async def create_artifact(
    context: Context, call: Call[None, ArtifactRequest]
) -> web.StreamResponse:
    """Store content; the same content has the same id."""
    now_ms = context.services.now_ms()
    info = await context.services.artifacts.put(
        call.body.content, owner=call.identity, now_ms=now_ms, tags=call.body.tags
    )
    # A store keeps the first time for content that it had.
    created = info.created_ms == now_ms
    return json_answer(
        ArtifactCreated(id=info.artifact_id, created=created), status=201 if created else 200
    )


async def list_artifacts(context: Context, call: Call[ArtifactQuery, None]) -> web.StreamResponse:
    """List the caller's artifacts, without their contents."""
    found = await context.services.artifacts.list(tag=call.query.tag, owner=call.identity)
    return json_answer(ArtifactList(artifacts=tuple(_view(info) for info in found)))


async def get_artifact(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """Return one artifact."""
    artifact = await context.services.artifacts.get(call.path["artifact_id"], owner=call.identity)
    return json_answer(_view(artifact.info, artifact.content))


async def list_gpus(context: Context, call: Call[NodeQuery, None]) -> web.StreamResponse:
    """List the GPUs of a machine."""
    return json_answer(await context.services.machine.gpus(call.query.node_id))


async def get_node(context: Context, call: Call[NodeQuery, None]) -> web.StreamResponse:
    """Tell what a machine is and offers."""
    return json_answer(await context.services.machine.node(call.query.node_id))


async def get_capabilities(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """Tell engines, models, features and limits."""
    return json_answer(context.services.machine.capabilities())


async def get_version(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """Tell the versions of service and API."""
    version = VersionInfo(
        service="orchestratord",
        version=context.version,
        api_version=API_VERSION,
        python=platform.python_version(),
    )
    return json_answer(version)


async def get_health(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """Tell that the process lives."""
    uptime_ms = max(0, context.services.now_ms() - context.started_ms)
    return json_answer(Liveness(status="ok", uptime_ms=uptime_ms))


async def get_readiness(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """Tell whether tasks can be taken, and how each pool is."""
    readiness = context.services.machine.readiness()
    return json_answer(readiness, status=200 if readiness.ready else 503)


async def get_metrics(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """Expose the metrics for Prometheus."""
    text, content_type = context.services.observer.exposition()
    return web.Response(body=text, headers={"Content-Type": content_type})


async def get_openapi(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """Return the OpenAPI document."""
    return web.Response(
        body=json.dumps(openapi_document(context.version, context.routes)).encode(),
        content_type=JSON,
    )


def _view(info: ArtifactInfo, content: Any = None) -> ArtifactView:
    return ArtifactView(
        id=info.artifact_id,
        tags=info.tags,
        created_ms=info.created_ms,
        size_bytes=info.size_bytes,
        content=content,
    )
