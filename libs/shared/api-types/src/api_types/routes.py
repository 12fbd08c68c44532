"""The routes of the API as data: router and OpenAPI document are both made of this table."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

from pydantic import StringConstraints

from api_types.catalog_routes import CATALOG_ROUTES, OF_A_NODE
from api_types.errors import ErrorCode
from api_types.fields import PoolName, SessionId
from api_types.model_cache import CACHE_ROUTES
from api_types.pool_routes import POOL_ROUTES
from api_types.resources import (
    ArtifactCreated,
    ArtifactList,
    ArtifactQuery,
    ArtifactRequest,
    ArtifactView,
    Availability,
    Capabilities,
    DrainRequest,
    GpuList,
    Liveness,
    NodeList,
    NodeQuery,
    NodeStanding,
    NodeView,
    Readiness,
    SessionView,
    VersionInfo,
)
from api_types.routing import EVENT_STREAM, JSON, METRICS_TEXT, Answer, Header, Route
from api_types.task_views import TaskAccepted, TaskList, TaskStatus
from api_types.tasks import EventsQuery, TaskQuery, TaskRequest
from pool_registry_types import Digest, NodeId

ADMISSION_ERRORS = (
    ErrorCode.MODEL_NOT_FOUND,
    ErrorCode.POOL_NOT_FOUND,
    ErrorCode.AMBIGUOUS_POOL,
    ErrorCode.TASK_CONFLICT,
    ErrorCode.DEADLINE_UNMET,
    ErrorCode.ADMISSION_REJECT,
    ErrorCode.QUEUE_FULL_DROP_LRU,
    ErrorCode.BUDGET_EXCEEDED,
    ErrorCode.POOL_UNREADY,
    ErrorCode.POOL_UNAVAILABLE,
    ErrorCode.POOL_DRAINING,
    ErrorCode.MODEL_NOT_AVAILABLE,
    ErrorCode.NODE_UNAVAILABLE,
    ErrorCode.SHUTTING_DOWN,
)
"""How a task can be refused before it is admitted."""

PATH_PARAMETERS: Mapping[str, tuple[Any, str]] = MappingProxyType(
    {
        "task_id": (UUID, "The id of a task."),
        "pool_id": (PoolName, "A pool id, or `node_id:pool_id` where the id is not unique."),
        "model_id": (
            Annotated[str, StringConstraints(min_length=1, max_length=128)],
            "The id of a model in the catalog.",
        ),
        "artifact_id": (Digest, "The digest of the canonical content."),
        "session_id": (SessionId, "The id of a session."),
        "node_id": (NodeId, "The id of a node."),
    }
)
"""Name in a path → its type and what it names. A value that does not fit names nothing: 404."""

_TASK_HEADERS = (
    Header("Location", "The path of the task."),
    Header("X-Task-Id", "The id of the task.", UUID),
    Header("X-Budget-Tokens-Remaining", "Where the session has a token budget.", int),
    Header("X-Budget-Time-Remaining-Ms", "Where the session has a time budget.", int),
    Header("X-Budget-Cost-Remaining", "Where the session has a cost budget.", float),
)
_LAST_EVENT_ID = Header(
    "Last-Event-ID",
    "The id of the last frame that was read; only later ones are sent.",
    Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")],
)


def _stream(description: str, headers: tuple[Header, ...] = ()) -> Answer:
    return Answer(status=200, description=description, content_type=EVENT_STREAM, headers=headers)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v2/tasks",
        operation_id="create_task",
        summary="Admit a task; with `Accept: text/event-stream` the answer is its event stream.",
        tag="tasks",
        request=TaskRequest,
        answers=(
            Answer(
                status=202,
                description="The task is admitted, or was already under this task_id.",
                model=TaskAccepted,
                content_type=JSON,
                headers=_TASK_HEADERS,
            ),
            _stream("The events of the admitted task, from the first.", _TASK_HEADERS),
        ),
        errors=ADMISSION_ERRORS,
    ),
    Route(
        method="GET",
        path="/v2/tasks",
        operation_id="list_tasks",
        summary="List tasks, newest first.",
        tag="tasks",
        query=TaskQuery,
        answers=(Answer.json(TaskList, "A page of tasks."),),
    ),
    Route(
        method="GET",
        path="/v2/tasks/{task_id}",
        operation_id="get_task",
        summary="Where a task stands, and its text so far.",
        tag="tasks",
        answers=(Answer.json(TaskStatus, "The task."),),
        errors=(ErrorCode.TASK_NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/v2/tasks/{task_id}/events",
        operation_id="stream_task_events",
        summary="The events of a task, replayed from the start or from `Last-Event-ID`.",
        tag="tasks",
        query=EventsQuery,
        headers=(_LAST_EVENT_ID,),
        answers=(
            _stream("The events up to and with the terminal frame."),
            Answer(status=204, description="The terminal frame was read before."),
        ),
        errors=(ErrorCode.TASK_NOT_FOUND, ErrorCode.EVENTS_EXPIRED),
    ),
    Route(
        method="POST",
        path="/v2/tasks/{task_id}/cancel",
        operation_id="cancel_task",
        summary="Stop a task; no token follows the answer.",
        tag="tasks",
        answers=(Answer(status=204, description="The task is stopping, or had ended."),),
        errors=(ErrorCode.TASK_NOT_FOUND,),
    ),
    *POOL_ROUTES,
    Route(
        method="GET",
        path="/v2/nodes",
        operation_id="list_nodes",
        summary="The nodes, and how each stands.",
        tag="nodes",
        answers=(Answer.json(NodeList, "The nodes."),),
        cloud_only=True,
    ),
    Route(
        method="POST",
        path="/v2/nodes/{node_id}/drain",
        operation_id="drain_node",
        summary="Start no new task on a node; what still runs at the deadline is ended.",
        tag="nodes",
        request=DrainRequest,
        request_required=False,
        answers=(Answer.json(NodeStanding, "The node drains until it is resumed.", 202),),
        errors=OF_A_NODE,
        cloud_only=True,
    ),
    Route(
        method="POST",
        path="/v2/nodes/{node_id}/resume",
        operation_id="resume_node",
        summary="End the drain of a node and of all its pools.",
        tag="nodes",
        answers=(Answer.json(NodeStanding, "The node takes tasks again."),),
        errors=OF_A_NODE,
        cloud_only=True,
    ),
    Route(
        method="GET",
        path="/v2/catalog/availability",
        operation_id="get_availability",
        summary="Where each model is.",
        tag="catalog",
        answers=(Answer.json(Availability, "The models and their nodes."),),
    ),
    *CATALOG_ROUTES,
    *CACHE_ROUTES,
    Route(
        method="POST",
        path="/v2/artifacts",
        operation_id="create_artifact",
        summary="Store content under the digest of its canonical form.",
        tag="artifacts",
        request=ArtifactRequest,
        answers=(
            Answer.json(ArtifactCreated, "The content is new.", 201),
            Answer.json(ArtifactCreated, "The same content was there."),
        ),
        errors=(ErrorCode.DISK_FULL,),
    ),
    Route(
        method="GET",
        path="/v2/artifacts",
        operation_id="list_artifacts",
        summary="List artifacts, without their contents.",
        tag="artifacts",
        query=ArtifactQuery,
        answers=(Answer.json(ArtifactList, "The artifacts."),),
    ),
    Route(
        method="GET",
        path="/v2/artifacts/{artifact_id}",
        operation_id="get_artifact",
        summary="One artifact with its content.",
        tag="artifacts",
        answers=(Answer.json(ArtifactView, "The artifact."),),
        errors=(ErrorCode.ARTIFACT_NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/v2/sessions/{session_id}",
        operation_id="get_session",
        summary="The counters and budgets of a session.",
        tag="sessions",
        answers=(Answer.json(SessionView, "The session."),),
        errors=(ErrorCode.SESSION_NOT_FOUND,),
    ),
    Route(
        method="DELETE",
        path="/v2/sessions/{session_id}",
        operation_id="delete_session",
        summary="Forget a session.",
        tag="sessions",
        answers=(Answer(status=204, description="The session is gone."),),
        errors=(ErrorCode.SESSION_NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/v2/gpus",
        operation_id="list_gpus",
        summary="The GPUs of this machine, or of the node that the query names.",
        tag="node",
        query=NodeQuery,
        answers=(Answer.json(GpuList, "The GPUs."),),
        errors=OF_A_NODE,
    ),
    Route(
        method="GET",
        path="/v2/node",
        operation_id="get_node",
        summary="What this machine, or the node that the query names, is and offers.",
        tag="node",
        query=NodeQuery,
        answers=(Answer.json(NodeView, "The node."),),
        errors=OF_A_NODE,
    ),
    Route(
        method="GET",
        path="/v2/meta/capabilities",
        operation_id="get_capabilities",
        summary="Engines, models, features and limits.",
        tag="meta",
        answers=(Answer.json(Capabilities, "The capabilities."),),
    ),
    Route(
        method="GET",
        path="/v2/meta/version",
        operation_id="get_version",
        summary="The version of the service and of the API.",
        tag="meta",
        answers=(Answer.json(VersionInfo, "The versions."),),
    ),
    Route(
        method="GET",
        path="/health",
        operation_id="get_health",
        summary="Whether the process lives.",
        tag="meta",
        answers=(Answer.json(Liveness, "It lives."),),
    ),
    Route(
        method="GET",
        path="/ready",
        operation_id="get_readiness",
        summary="Whether tasks can be taken.",
        tag="meta",
        answers=(
            Answer.json(Readiness, "Every configured pool is ready or failed."),
            Answer.json(Readiness, "Not yet, or no longer.", 503),
        ),
    ),
    Route(
        method="GET",
        path="/metrics",
        operation_id="get_metrics",
        summary="The metrics in the text form of Prometheus.",
        tag="meta",
        answers=(Answer(status=200, description="The metrics.", content_type=METRICS_TEXT),),
    ),
    Route(
        method="GET",
        path="/openapi.json",
        operation_id="get_openapi",
        summary="This document.",
        tag="meta",
        answers=(Answer(status=200, description="The document.", content_type=JSON),),
    ),
)
