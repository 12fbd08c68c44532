"""Typed client of the llama-orch API, async and sync, with resuming streams."""

from orchestrator_client.client import Client
from orchestrator_client.errors import (
    ApiStatusError,
    ConnectionLost,
    EventsExpired,
    LlamaOrchError,
    ProtocolError,
    StreamAlreadyEnded,
    TaskConflict,
    TaskFailed,
    TaskNotFound,
    TaskRestarted,
    TotalTimeout,
    Unreachable,
)
from orchestrator_client.events import Answer, Completion, TaskEvent, TaskFrame
from orchestrator_client.handle import TaskHandle
from orchestrator_client.policy import NO_RETRY, RECONNECT, RetryPolicy, Timeouts
from orchestrator_client.sync import SyncClient, SyncTaskHandle

__all__ = [
    "NO_RETRY",
    "RECONNECT",
    "Answer",
    "ApiStatusError",
    "Client",
    "Completion",
    "ConnectionLost",
    "EventsExpired",
    "LlamaOrchError",
    "ProtocolError",
    "RetryPolicy",
    "StreamAlreadyEnded",
    "SyncClient",
    "SyncTaskHandle",
    "TaskConflict",
    "TaskEvent",
    "TaskFailed",
    "TaskFrame",
    "TaskHandle",
    "TaskNotFound",
    "TaskRestarted",
    "Timeouts",
    "TotalTimeout",
    "Unreachable",
]
