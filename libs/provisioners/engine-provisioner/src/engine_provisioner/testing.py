"""A fake `llama-server`: a script that stands in for the executable where none was built."""

import stat
import sys
from pathlib import Path

_FAKE = '''
"""FAKE llama-server: answers as one does, and computes nothing."""
import http.server, json, os, sys, threading, time

args = sys.argv[1:]
if "--list-devices" in args:
    print("Available devices:", *DEVICES)
    sys.exit(0)
value = lambda name: args[args.index(name) + 1]
alias, key = value("--alias"), os.environ.get("LLAMA_API_KEY")
with open(value("--model"), "rb") as model:
    if b"OUT-OF-VRAM" in model.read(64):
        print("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9.00 MiB on device 0: "
              "cudaMalloc failed: out of memory", file=sys.stderr)
        sys.exit(1)
loaded = time.monotonic() + LOAD_S

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            return self.answer(200 if time.monotonic() >= loaded else 503, {"status": "ok"})
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            return self.answer(401, {})
        self.answer(200, {"data": [{"id": alias}], "argv": args})

    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer((value("--host"), int(value("--port"))), Handler).serve_forever()
'''


def fake_llama_server(folder: Path, *, sees_gpu: bool = False, load_s: float = 0.0) -> Path:
    """Write the fake; it serves `/health` and `/v1/models`, after a load that takes `load_s`.

    A model file with `OUT-OF-VRAM` in its first bytes ends it as a full GPU would.
    """
    path = folder / f"fake-llama-server{'-gpu' if sees_gpu else ''}"
    devices = ["CUDA0: FAKE GPU (24000 MiB)"] if sees_gpu else []
    settings = f"DEVICES, LOAD_S = {devices!r}, {load_s!r}\n"
    # Without -S and -E it would start several times more slowly.
    path.write_text(f"#!{sys.executable} -SE\n{settings}{_FAKE}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
