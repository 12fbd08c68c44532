"""The entry point of the tests' image: llama.cpp's own server, told by `llama-server`'s flags.

The server itself is the one of the wheel; only the reading of the flags is ours.
"""

import argparse
import os
import signal
import threading
from pathlib import Path

import llamacpp_host
import xllamacpp


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--parallel", type=int, dest="slots", required=True)
    parser.add_argument("--ctx-size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--n-gpu-layers", type=int, dest="gpu_layers", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--no-warmup", action="store_true")
    for accepted in ("--no-context-shift", "--metrics", "--slots"):
        parser.add_argument(accepted, action="store_true", dest="always_so")
    parser.add_argument("--threads-http", type=int)
    args = parser.parse_args()
    args.ctx = args.ctx_size // args.slots
    args.tensor_split = None
    args.no_mmap = args.no_prompt_cache = args.embeddings = args.rerank = False
    params = llamacpp_host._params(xllamacpp, args, os.environ["LLAMA_API_KEY"])
    params.hostnames, params.port = [args.host], args.port
    server = xllamacpp.Server(params)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    print("serving", server.listening_address, flush=True)
    stop.wait()
    os._exit(0)


main()
