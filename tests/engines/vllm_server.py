"""A real vLLM on CPU, with limits that a test can reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .asking import MODEL
from .installed import EngineProcess, free_port, serving

KEY = "the-engines-own-key"
CTX = 8192
SEQUENCES = 4
"""What runs at once; the next request waits in vLLM's queue."""
STEP_TOKENS = 256
"""A prompt of the whole context takes 32 steps: long enough to be met in the middle."""

_ENVIRON = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Bound to one core each, the engines of several suites would share that one.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}


@contextmanager
def vllm_running(
    python: str, model: Path, folder: Path, *options: str, key: str = KEY
) -> Iterator[EngineProcess]:
    """Serve a model, named `tiny`, until the block ends."""
    port = free_port()
    command = [python, "-m", "vllm.entrypoints.cli.main", "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", MODEL]
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", str(CTX)]
    command += ["--max-num-seqs", str(SEQUENCES), "--max-num-batched-tokens", str(STEP_TOKENS)]
    command += ["--api-key", key, *options]
    with serving(command, port=port, folder=folder, key=key, environ=_ENVIRON) as engine:
        yield engine
