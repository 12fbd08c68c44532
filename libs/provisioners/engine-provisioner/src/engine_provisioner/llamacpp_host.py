"""The child process that runs llama.cpp's own HTTP server from the `xllamacpp` wheel.

Run as a file, it imports nothing of this package: an engine is up in a tenth of the time and
memory that the daemon's libraries would take. It tells its state in a file, since a pipe would
kill it together with the daemon, and it outlives a crash of the daemon on purpose.
"""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

EXIT_MODEL = 3
"""Exit code: llama.cpp refused the model or its settings; its reason is in the log."""

CLOSE_DEADLINE_S = 2.0
PROMPT_CACHE_MIB = 1024
HTTP_THREADS_SPARE = 8
CPU_BATCH_TOKENS = 128
METADATA_BYTES = 1 << 20
"""How far into a GGUF file its architecture's keys are looked for; they come first."""
GPU_BATCH_TOKENS = 2048
VERBOSITY_WARNING = 2


def parser() -> argparse.ArgumentParser:
    """Return the host's command line, which is also the list of flags in the handoff file."""
    out = argparse.ArgumentParser(prog="llamacpp_host", description=__doc__, allow_abbrev=False)
    out.add_argument("--status-file", type=Path, required=True, help="where the state is told")
    out.add_argument("--model", type=Path, required=True, help="GGUF file")
    out.add_argument("--alias", required=True, help="the model's id on the HTTP side")
    out.add_argument("--slots", type=int, default=1, help="sequences decoded at once")
    out.add_argument("--ctx", type=int, required=True, help="tokens of context of one slot")
    out.add_argument("--threads", type=int, default=1, help="CPU threads that compute")
    out.add_argument("--gpu-layers", type=int, default=0, help="layers on the GPU; 99 is all")
    out.add_argument("--tensor-split", help="shares of the GPUs, such as 3,1")
    out.add_argument("--no-mmap", action="store_true", help="read the file instead of mapping it")
    out.add_argument("--no-prompt-cache", action="store_true", help="compute each prompt anew")
    out.add_argument("--no-warmup", action="store_true", help="skip the empty run after loading")
    pooled = out.add_mutually_exclusive_group()
    pooled.add_argument("--embeddings", action="store_true", help="serve embeddings too")
    pooled.add_argument("--rerank", action="store_true", help="serve rerank too")
    out.add_argument("--key-on-stdin", action="store_true", help="the first line is the API key")
    return out


def tell(path: Path, phase: str, **more: str) -> None:
    """Replace the status file at once, so that a reader never sees half of one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"pid": os.getpid(), "phase": phase, **more}), encoding="utf-8")
    draft.replace(path)


def serve(args: argparse.Namespace, key: str | None) -> None:
    """Load the model, serve until SIGTERM, then close within the deadline."""
    import xllamacpp  # type: ignore[import-untyped]

    if args.gpu_layers and not any(
        "GPU" in str(device["type"]) for device in xllamacpp.get_device_info()
    ):
        raise RuntimeError("the layers belong on a GPU, and this xllamacpp wheel sees none")
    server = xllamacpp.Server(_params(xllamacpp, args, key))
    stop = threading.Event()
    # Only now: while the model loads, the interpreter is held and a handler would not run,
    # whereas the default action ends the process at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    tell(args.status_file, "listening", url=server.listening_address)
    stop.wait()
    # Closing with a stream in flight can take half a minute and holds the interpreter, so the
    # deadline is the kernel's.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, CLOSE_DEADLINE_S)
    del server


def _params(xllamacpp: ModuleType, args: argparse.Namespace, key: str | None) -> object:
    params = xllamacpp.CommonParams()
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.model.path = str(args.model)
    params.model_alias = {args.alias}
    params.api_keys = [key] if key else []
    params.endpoint_metrics = params.endpoint_slots = params.endpoint_props = True
    params.ui = False
    params.verbosity = VERBOSITY_WARNING
    # llama.cpp divides the context by the slots unless one cache is shared by all.
    params.n_parallel = args.slots
    params.n_ctx = args.ctx * args.slots
    params.kv_unified = False
    # The context is what the plan says, or the start fails: never silently less.
    params.fit_params = False
    params.ctx_shift = False
    params.n_gpu_layers = args.gpu_layers
    if args.tensor_split:
        shares = [float(share) for share in args.tensor_split.split(",")]
        params.tensor_split = [*shares, *params.tensor_split[len(shares) :]]
    if args.no_mmap:
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    params.warmup = not args.no_warmup
    params.cache_prompt = not args.no_prompt_cache
    params.cache_ram_mib = 0 if args.no_prompt_cache else PROMPT_CACHE_MIB
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = args.threads
        cpu.poll = 0
    # Each open stream holds an HTTP thread; without spare ones /health and a cancel would wait.
    params.n_threads_http = 2 * args.slots + HTTP_THREADS_SPARE
    # Between two batches the engine sees that a client left; a GPU is through one in no time.
    params.n_batch = GPU_BATCH_TOKENS if args.gpu_layers else CPU_BATCH_TOKENS
    if args.embeddings or args.rerank:
        _pool(xllamacpp, params, args)
    return params


def _pool(xllamacpp: ModuleType, params: Any, args: argparse.Namespace) -> None:
    kinds = xllamacpp.llama_pooling_type
    params.embedding = True
    if not args.rerank and not declares_pooling(args.model):
        # A model that was made for generating: the last token has seen all the others, and only
        # this kind of pooling lets a long text pass in several batches.
        params.pooling_type = kinds.LLAMA_POOLING_TYPE_LAST
        return
    if args.rerank:
        params.pooling_type = kinds.LLAMA_POOLING_TYPE_RANK
    params.n_batch = params.n_ubatch = args.ctx


def declares_pooling(model: Path) -> bool:
    """Tell whether a model says how its embeddings are pooled, as models made for them do."""
    with model.open("rb") as file:
        return b".pooling_type" in file.read(METADATA_BYTES)


def main(argv: list[str] | None = None) -> int:
    """Run the host; the exit code is 0 after SIGTERM and `EXIT_MODEL` when loading failed."""
    args = parser().parse_args(argv)
    key = sys.stdin.readline().strip() if args.key_on_stdin else None
    tell(args.status_file, "loading")
    try:
        serve(args, key)
    except ImportError as error:
        tell(args.status_file, "failed", reason=f"xllamacpp cannot be imported: {error}")
        return EXIT_MODEL
    except RuntimeError as error:
        tell(args.status_file, "failed", reason=str(error))
        return EXIT_MODEL
    return 0


if __name__ == "__main__":
    code = main()
    if code == 0:
        # Nothing of the interpreter's own shutdown may wait for llama.cpp's threads.
        os._exit(0)
    # llama.cpp writes its log in a thread: only an orderly exit brings the cause into the file.
    signal.setitimer(signal.ITIMER_REAL, CLOSE_DEADLINE_S)
    sys.exit(code)
