"""Fakes of what the HTTP shell stands on."""

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
    "Answer",
    "FakeCursor",
    "FakeMachine",
    "FakeModels",
    "FakeObserver",
    "FakePools",
    "FakeTasks",
    "Shell",
    "fake_services",
    "frame",
    "read_chunk",
    "read_chunks",
    "running_shell",
]
