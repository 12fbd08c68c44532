"""Fakes of what the HTTP shell stands on."""

from orchestratord.testing.control_plane import ControlPlane
from orchestratord.testing.nodes import MODEL, ScriptedNode
from orchestratord.testing.services import (
    FakeMachine,
    FakeModels,
    FakeObserver,
    FakePools,
    fake_services,
)
from orchestratord.testing.shell import Answer, Shell, read_chunk, read_chunks, running_shell
from orchestratord.testing.tasks import FakeCursor, FakeTasks, frame

__all__ = [
    "MODEL",
    "Answer",
    "ControlPlane",
    "FakeCursor",
    "FakeMachine",
    "FakeModels",
    "FakeObserver",
    "FakePools",
    "FakeTasks",
    "ScriptedNode",
    "Shell",
    "fake_services",
    "frame",
    "read_chunk",
    "read_chunks",
    "running_shell",
]
