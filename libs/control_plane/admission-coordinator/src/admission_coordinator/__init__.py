"""The life of a task: admit, queue, dispatch, stream, cancel, retry, finish."""

from admission_coordinator.coordinator import AdmissionCoordinator
from admission_coordinator.frames import Dialect, EventFrame, Frame, TokenFrame, native
from admission_coordinator.log import Cursor, EventLog
from admission_coordinator.machine import TRANSITIONS, IllegalMove, Move
from admission_coordinator.ports import (
    DemandSink,
    Loan,
    ModelChoice,
    ModelDirectory,
    ModelWaits,
    Replicas,
    TaskObserver,
)
from admission_coordinator.sessions import SessionLimits
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.submission import Submission
from admission_coordinator.table import ADMIN
from admission_coordinator.task import Task

__all__ = [
    "ADMIN",
    "TRANSITIONS",
    "AdmissionCoordinator",
    "CoordinatorSettings",
    "Cursor",
    "DemandSink",
    "Dialect",
    "EventFrame",
    "EventLog",
    "Frame",
    "IllegalMove",
    "Loan",
    "ModelChoice",
    "ModelDirectory",
    "ModelWaits",
    "Move",
    "Replicas",
    "SessionLimits",
    "Submission",
    "Task",
    "TaskObserver",
    "TokenFrame",
    "native",
]
