"""A daemon's HTTP shell on a real socket, with fakes behind it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestratord.config import Settings
from orchestratord.testing import Shell, running_shell


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        node_id="node",
        max_body_bytes=4096,
        allowed_hosts=("llama.lan",),
        cors_origins=("https://ui.example",),
        task_retention_ms=2_000,
    )


@pytest.fixture(params=[True, False], ids=["short way", "aiohttp alone"])
async def shell(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Shell]:
    async with running_shell(settings, short=request.param) as shell:
        yield shell
