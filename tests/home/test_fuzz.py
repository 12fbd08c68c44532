"""The API as its own document describes it, held against requests that nobody thought of."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demo_model import DEMO

from .daemons import Daemon, Place, Pool

EXAMPLES = os.environ.get("LLORCH_FUZZ_EXAMPLES", "20")
"""For each operation; a few hundred take about a minute."""
CHECKS = """
[checks]
# No schema can say how much context or which workload the pools of today offer.
positive_data_acceptance.enabled = false
# "Nothing here can serve this now" is an answer of the contract; a mistake of ours is a 500.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]

[[operations]]
# A header that the document does not name is no mistake, yet here it is counted as one.
include-path-regex = "^/v1/"
checks.negative_data_rejection.enabled = false
"""
GROWN_BYTES = 64 * 1024 * 1024


@pytest.fixture
def daemon(place: Callable[..., Place], models: Path) -> Daemon:
    return place(Pool.of(models, DEMO, slots=2, ctx=256, embeddings=True)).start()


@pytest.mark.timeout(600)
def test_every_answer_is_as_the_document_says_and_none_is_a_500(
    daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "schemathesis.toml").write_text(CHECKS)
    before_bytes = daemon.rss_bytes()
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{daemon.url}/openapi.json",
            "--no-color",
            f"--max-examples={EXAMPLES}",
            "--seed=7",
            "--request-timeout=20",
            "--continue-on-failure",
        ],
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert "http_request_failed" not in daemon.output
    assert daemon.rss_bytes() - before_bytes < GROWN_BYTES
