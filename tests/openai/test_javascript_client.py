"""A client of another family: the `openai` package of JavaScript, as npm installs it."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from demo_model import DEMO

pytestmark = pytest.mark.servers

TEXT = DEMO.expected_text(12)
SCRIPT = Path(__file__).with_name("client.mjs")


async def run(*command: str, folder: Path) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()[-4000:]
    return told


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("javascript")
    asyncio.run(
        run("npm", "install", "--silent", "--no-fund", "--no-audit", "openai", folder=folder)
    )
    shutil.copy(SCRIPT, folder)
    return folder


async def test_the_javascript_package_gets_the_same(
    daemon: Any, project: Path, get: Callable[[str], Awaitable[Any]]
) -> None:
    told = json.loads(await run("node", SCRIPT.name, f"{daemon.url}/v1", folder=project))
    assert told["plain"] == told["streamed"] == TEXT
    assert told["usage"] == told["streamed_usage"]
    assert told["usage"]["completion_tokens"] == 12
    assert told["collected"] == TEXT
    assert len(set(told["dimensions"])) == 1
    assert len(told["models"]) == 3
    assert told["unknown"] == {
        "class": "NotFoundError",
        "status": 404,
        "code": "MODEL_NOT_FOUND",
        "param": "model",
    }
    assert told["refused"] == {
        "class": "BadRequestError",
        "status": 400,
        "code": "INVALID_PARAMS",
        "param": "n",
    }
    async with asyncio.timeout(1):
        while (await get("/v2/tasks?state=running"))["tasks"]:
            await asyncio.sleep(0.01)
