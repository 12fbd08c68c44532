"""A real llama.cpp in a child process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = Path(__file__).with_name("engine_host.py")


@contextmanager
def engine_running(model: Path, log: Path, *settings: str) -> Iterator[str]:
    """The address of an engine that lives as long as the block."""
    command = [sys.executable, str(HOST), str(model), *settings]
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            url = next((line.strip() for line in process.stdout if line.startswith("http")), "")
            assert url, log.read_text()[-2000:]
            yield url
        finally:
            process.kill()
