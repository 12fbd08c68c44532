"""A real SGLang on CPU, with limits that a test can reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .asking import MODEL
from .installed import EngineProcess, free_port, serving

KEY = "the-engines-own-key"
CTX = 8192
RUNNING = 4
"""What runs at once."""

_ENVIRON = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    # Its threads spin while they wait, and two engines of a suite have two cores.
    "OMP_NUM_THREADS": "1",
}
_ON_CPU = ("--device", "cpu", "--disable-overlap-schedule", "--disable-cuda-graph")
_SMALL = ("--mem-fraction-static", "0.05", "--skip-server-warmup")


@contextmanager
def sglang_running(
    python: str, model: Path, folder: Path, *options: str, key: str = KEY
) -> Iterator[EngineProcess]:
    """Serve a model, named `tiny`, until the block ends."""
    port = free_port()
    command = [python, "-m", "sglang.launch_server", "--model-path", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", MODEL]
    command += ["--context-length", str(CTX), "--max-running-requests", str(RUNNING)]
    command += ["--api-key", key, "--enable-metrics", *_ON_CPU, *_SMALL, *options]
    with serving(command, port=port, folder=folder, key=key, environ=_ENVIRON) as engine:
        yield engine
