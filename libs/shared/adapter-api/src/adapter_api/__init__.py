"""What a worker adapter is: protocol, events, errors, engine paths and a conformance kit."""

from adapter_api.errors import (
    AdapterError,
    EngineFailed,
    EngineOverloaded,
    EngineProtocolError,
    EngineRefused,
    EngineReset,
    EngineTimeout,
    EngineUnreachable,
    Fault,
)
from adapter_api.events import (
    EngineDescription,
    EngineEvent,
    EngineFinish,
    EngineHealth,
    EngineRequest,
    EventSink,
    FinishReason,
    Progress,
    Result,
    Tokens,
    Workload,
)
from adapter_api.paths import ENGINE_PATHS, TASK_HEADER, EnginePath, find_path
from adapter_api.ports import WorkerAdapter

__all__ = [
    "ENGINE_PATHS",
    "TASK_HEADER",
    "AdapterError",
    "EngineDescription",
    "EngineEvent",
    "EngineFailed",
    "EngineFinish",
    "EngineHealth",
    "EngineOverloaded",
    "EnginePath",
    "EngineProtocolError",
    "EngineRefused",
    "EngineRequest",
    "EngineReset",
    "EngineTimeout",
    "EngineUnreachable",
    "EventSink",
    "Fault",
    "FinishReason",
    "Progress",
    "Result",
    "Tokens",
    "WorkerAdapter",
    "Workload",
    "find_path",
]
