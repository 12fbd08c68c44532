"""Control planes and scripted nodes on free ports."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestratord.config import Profile, Settings
from orchestratord.testing import ControlPlane, ScriptedNode
from program_config import BindAddress

TOKEN = "service-token-of-thirty-two-chars"
SPEECH = "one two three"
KEY = "alice-has-a-key-of-thirty-two-chars"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return cloud_settings(tmp_path)


def cloud_settings(folder: Path, **more: Any) -> Settings:
    given = {
        "api_token": TOKEN,
        "api_keys": f"alice:{KEY}",
        "insecure_plaintext": True,
        "shutdown_grace_ms": 100,
        **more,
    }
    return Settings(
        profile=Profile.CLOUD, home=folder, bind_addr=BindAddress("127.0.0.1", 0), **given
    )


@pytest.fixture
async def cloud(settings: Settings) -> AsyncIterator[ControlPlane]:
    async with ControlPlane.running(settings, token=TOKEN, key=KEY) as cloud:
        yield cloud


@pytest.fixture
async def start_node() -> AsyncIterator[Callable[..., Any]]:
    """Start scripted nodes that end with the test."""
    async with AsyncExitStack() as stack:

        async def start(node_id: str = "gpu-a", **more: Any) -> ScriptedNode:
            return await stack.enter_async_context(ScriptedNode.running(node_id, **more))

        yield start


def said(frames: list[tuple[str, dict[str, Any]]]) -> str:
    """The text of a stream that began and ended well."""
    assert [frames[0][0], frames[-1][0]] == ["started", "end"], frames
    return "".join(data["t"] for event, data in frames if event == "token")
