"""The child process that runs an engine's own server, and is its guardian.

Run as a file, it imports nothing but the standard library. It gives the executable a free port on
loopback and a key that is on no command line, tells its state in a file, and lives and ends with
it: whatever ends one ends the other.
"""

import argparse
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

EXIT_MODEL = 3
"""Exit code: the executable refused the model or its settings; its reason is in the log."""

CLOSE_DEADLINE_S = 2.0
FIRST_POLL_S, LAST_POLL_S = 0.02, 0.25
DEVICES_TIMEOUT_S = 20.0
HEALTH_TIMEOUT_S = 1.0
PR_SET_PDEATHSIG = 1
GPU_KINDS = ("CUDA", "Vulkan", "ROCm", "HIP", "SYCL")


def tell(path: Path, phase: str, **more: str | int) -> None:
    """Replace the status file at once, so that a reader never sees half of one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"pid": os.getpid(), "phase": phase, **more}), encoding="utf-8")
    draft.replace(path)


def free_port() -> int:
    """Return a port that is free now; in the rare case that it is taken, the next start helps."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lists_a_gpu(executable: str) -> bool:
    """Ask the executable which devices it was built for and sees."""
    answer = subprocess.run(  # noqa: S603  the operator named it
        [executable, "--list-devices"],
        capture_output=True,
        text=True,
        timeout=DEVICES_TIMEOUT_S,
        check=False,
    )
    told = answer.stdout + answer.stderr
    return answer.returncode == 0 and any(kind in told for kind in GPU_KINDS)


def die_with_parent() -> None:
    """Have the kernel kill this process when the guardian is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def await_health(child: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server has loaded its model; False when it ended instead."""
    pause_s = FIRST_POLL_S
    while child.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return True
        except (OSError, http.client.HTTPException):
            pass  # Not listening yet.
        finally:
            connection.close()
        time.sleep(pause_s)
        pause_s = min(LAST_POLL_S, 1.1 * pause_s)
    return False


def serve(status_file: Path, command: list[str], key: Mapping[str, str]) -> int:
    """Run the executable until it ends or SIGTERM comes; the result is the exit code."""
    tell(status_file, "loading")
    port = free_port()
    child = subprocess.Popen(  # noqa: S603  the operator named it
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **key},
        preexec_fn=die_with_parent,  # noqa: PLW1509  there is no other thread
    )
    asked = False

    def on_stop(*_: object) -> None:
        nonlocal asked
        asked = True
        child.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_stop)
    tell(status_file, "loading", engine_pid=child.pid)
    url = f"http://127.0.0.1:{port}"
    listening = await_health(child, port)
    if listening:
        tell(status_file, "listening", url=url, engine_pid=child.pid)
    code = wait(child, lambda: asked)
    if asked:
        return 0
    if not listening:
        tell(status_file, "failed", reason=f"{Path(command[0]).name} ended with exit code {code}")
        return EXIT_MODEL
    if code < 0:
        # The supervisor is to see how it really ended.
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def wait(child: subprocess.Popen[bytes], asked: Callable[[], bool]) -> int:
    """Wait for the end; after a request for it no longer than the deadline."""
    while True:
        try:
            return child.wait(CLOSE_DEADLINE_S)
        except subprocess.TimeoutExpired:
            if asked():
                child.kill()


def main(argv: list[str] | None = None) -> int:
    """Run the host."""
    parser = argparse.ArgumentParser(prog="llama_server_host", allow_abbrev=False)
    parser.add_argument("--status-file", type=Path, required=True, help="where the state is told")
    parser.add_argument("--key-on-stdin", action="store_true", help="the first line is the API key")
    parser.add_argument(
        "--key-variable", default="LLAMA_API_KEY", help="in which the engine looks for it"
    )
    parser.add_argument("--on-gpu", action="store_true", help="refuse an executable without a GPU")
    parser.add_argument("command", nargs="+", help="behind --: the executable and its flags")
    args = parser.parse_args(argv)
    key = {args.key_variable: sys.stdin.readline().strip()} if args.key_on_stdin else {}
    try:
        if args.on_gpu and not lists_a_gpu(args.command[0]):
            reason = f"{args.command[0]} sees no GPU, and the layers belong on one"
            tell(args.status_file, "failed", reason=reason)
            return EXIT_MODEL
        return serve(args.status_file, args.command, key)
    except (OSError, subprocess.TimeoutExpired) as error:
        tell(args.status_file, "failed", reason=str(error))
        return EXIT_MODEL


if __name__ == "__main__":
    sys.exit(main())
