"""`llorch serve`: on a server that runs, and on one that it starts."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from llorch.serving import own_address
from orchestrator_client.testing import FakeOrchestratord

from .conftest import Llorch
from .test_keeping import DONE, replica
from .test_listing import MODEL, POOL

VERSION = {
    "service": "orchestratord",
    "version": "0.1.0",
    "api_version": "2",
    "python": "3.11.7",
}
REFERENCE = "https://models.example/tiny.gguf"


async def test_a_model_that_is_served_already_is_told_so(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    fake.pull = [("progress", DONE), ("model", MODEL)]
    fake.documents |= {"/v2/meta/version": VERSION}
    fake.documents["/v2/pools"] = {"pools": [POOL | {"replicas": [replica(1)]}]}
    outcome = await llorch("serve", REFERENCE)
    assert (outcome.code, outcome.out) == (0, f"{POOL['pool_id']} serves tiny\n"), outcome.err


async def test_without_a_pool_that_may_load_it_the_way_on_is_told(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    fake.pull = [("model", MODEL)]
    fake.documents |= {"/v2/meta/version": VERSION, "/v2/pools": {"pools": [POOL]}}
    outcome = await llorch("serve", REFERENCE)
    assert outcome.code == 1
    assert f"llorch reload POOL {REFERENCE}" in outcome.err


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://localhost:9", "127.0.0.1:9"),
        ("http://[::1]:9", "[::1]:9"),
        ("http://127.0.0.1", "127.0.0.1:8080"),
        ("http://10.0.0.1:8080", None),
        ("http://models.example", None),
        ("https://127.0.0.1:8080", None),
    ],
)
def test_a_server_is_only_started_where_it_would_be_found(url: str, address: str | None) -> None:
    assert own_address(url) == address


async def test_where_nothing_answers_the_server_takes_the_place_of_the_program(
    tmp_path: Path,
) -> None:
    told = tmp_path / "told"
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    server = tmp_path / "orchestratord"
    server.write_text(f'#!/bin/sh\nprintf "%s\\n" "$$" "$@" > {told}\n')
    server.chmod(0o755)
    child = await asyncio.create_subprocess_exec(
        *(str(python), "-c", "import sys; from llorch.cli import main; sys.exit(main())"),
        *("serve", "file:/m.gguf", "--url", "http://127.0.0.1:1", "--", "--pinning", "deny"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await child.communicate()
    assert child.returncode == 0, err
    pid, *arguments = told.read_text().splitlines()
    assert int(pid) == child.pid
    assert arguments == [
        *("--model", "file:/m.gguf", "--bind-addr", "127.0.0.1:1", "--pinning", "deny"),
    ]
    assert json.dumps(err.decode()).count("starting orchestratord") == 1
