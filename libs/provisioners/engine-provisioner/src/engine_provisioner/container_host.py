"""The child process that runs an engine in a container, and is its guardian.

Run as a file, it imports nothing but the standard library. It publishes the engine's port on
loopback only, mounts the models' folder read-only, tells its state in a file, and lives and ends
with the container. What a guardian that was killed left behind, the next one removes by its name.
"""

import argparse
import ctypes
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

EXIT_MODEL = 3
"""Exit code: the engine refused the model or its settings; its reason is in the log."""
EXIT_RUNTIME = 125
"""What podman and docker end with when they themselves failed, before the engine began."""

INSIDE_PORT = 8080
INSIDE_MODELS = "/models"
CLOSE_DEADLINE_S = 3
COMMAND_TIMEOUT_S = 30.0
HEALTH_TIMEOUT_S = 1.0
FIRST_POLL_S, LAST_POLL_S = 0.05, 0.5
PR_SET_PDEATHSIG = 1


class Guardian:
    """One container, from its start to its end."""

    def __init__(self, args: argparse.Namespace, key: str | None) -> None:
        self._args = args
        self._environment = {**os.environ, **({args.key_variable: key} if key else {})}
        self._name = container_name(args.status_file)
        self._asked = False

    def serve(self) -> int:
        """Run the engine until it ends or SIGTERM comes; the result is the exit code."""
        self._remove()
        self._tell("loading")
        port = free_port()
        child = subprocess.Popen(  # noqa: S603  the operator named the image
            self._run_command(port),
            stdin=subprocess.DEVNULL,
            env=self._environment,
            preexec_fn=die_with_parent,  # noqa: PLW1509  there is no other thread
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        listening = self._await_health(child, port)
        if listening:
            self._tell("listening", url=f"http://127.0.0.1:{port}", engine_pid=self._engine_pid())
        code = self._wait(child)
        self._remove()
        if self._asked:
            return 0
        if code == 128 + signal.SIGKILL:
            # The supervisor is to see how it really ended.
            os.kill(os.getpid(), signal.SIGKILL)
        if not listening and code != EXIT_RUNTIME:
            self._tell("failed", reason=f"the container ended with exit code {code}")
            return EXIT_MODEL
        return code

    def _run_command(self, port: int) -> list[str]:
        args = self._args
        return [
            args.runtime,
            "run",
            *("--rm", "--pull=never", "--name", self._name),
            # Its output comes to us, and with that into the engine's log, which is bounded.
            "--log-driver=none",
            f"--publish=127.0.0.1:{port}:{INSIDE_PORT}",
            f"--volume={args.models}:{INSIDE_MODELS}:ro",
            *("--cap-drop=all", "--security-opt=no-new-privileges"),
            # By name: the value is in our environment, and on no command line.
            f"--env={args.key_variable}",
            *args.run_option,
            args.image,
            *args.command,
            *("--host", "0.0.0.0", "--port", str(INSIDE_PORT)),  # noqa: S104  inside
        ]

    def _await_health(self, child: subprocess.Popen[bytes], port: int) -> bool:
        pause_s, engine_pid = FIRST_POLL_S, 0
        while child.poll() is None:
            if is_healthy(port):
                return True
            if not engine_pid and (engine_pid := self._engine_pid()):
                # Whose memory grows while the model loads.
                self._tell("loading", engine_pid=engine_pid)
            time.sleep(pause_s)
            pause_s = min(LAST_POLL_S, 1.2 * pause_s)
        return False

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for the end; after a request for it no longer than the deadline."""
        while True:
            try:
                return child.wait(2 * CLOSE_DEADLINE_S)
            except subprocess.TimeoutExpired:
                if self._asked:
                    self._ask("kill", self._name)
                    child.kill()

    def _on_stop(self, *_: object) -> None:
        if not self._asked:
            self._asked = True
            # Not waited for: the end of the container is.
            subprocess.Popen(  # noqa: S603
                [self._args.runtime, "stop", "-t", str(CLOSE_DEADLINE_S), self._name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def _engine_pid(self) -> int:
        """Return the engine's process as this machine counts it, 0 while there is none."""
        told = self._ask("inspect", "--format", "{{.State.Pid}}", self._name).strip()
        return int(told) if told.isdigit() else 0

    def _remove(self) -> None:
        if self._ask("inspect", "--format", "{{.Id}}", self._name):
            self._ask("kill", self._name)
            self._ask("rm", "--force", self._name)

    def _ask(self, *command: str) -> str:
        """Run a command of the container runtime; empty when it fails."""
        try:
            done = subprocess.run(  # noqa: S603
                [self._args.runtime, *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout if done.returncode == 0 else ""

    def _tell(self, phase: str, **more: str | int) -> None:
        """Replace the status file at once, so that a reader never sees half of one."""
        path = self._args.status_file
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        container = [self._args.runtime, self._name]
        told = {"pid": os.getpid(), "phase": phase, "container": container, **more}
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(path)


def container_name(status_file: Path) -> str:
    """Return the name that only the engine of this status file has."""
    return f"llama-orch-{hashlib.sha256(str(status_file).encode()).hexdigest()[:16]}"


def free_port() -> int:
    """Return a port that is free now; in the rare case that it is taken, the next start helps."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_healthy(port: int) -> bool:
    """Ask the engine whether it has loaded its model."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False  # Not listening yet.
    finally:
        connection.close()


def die_with_parent() -> None:
    """Have the kernel kill this process when the guardian is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(argv: list[str] | None = None) -> int:
    """Run the host."""
    parser = argparse.ArgumentParser(prog="container_host", allow_abbrev=False)
    parser.add_argument("--status-file", type=Path, required=True, help="where the state is told")
    parser.add_argument("--key-on-stdin", action="store_true", help="the first line is the API key")
    parser.add_argument("--key-variable", required=True, help="in which the engine looks for it")
    parser.add_argument("--runtime", required=True, help="podman or docker")
    parser.add_argument("--image", required=True, help="by digest")
    parser.add_argument("--models", required=True, help="the folder that is mounted")
    parser.add_argument("--run-option", action="append", default=[], help="more for `run`")
    parser.add_argument("command", nargs="+", help="behind --: the engine's flags")
    args = parser.parse_args(argv)
    key = sys.stdin.readline().strip() if args.key_on_stdin else None
    try:
        return Guardian(args, key).serve()
    except OSError as error:
        sys.stderr.write(f"{args.runtime} cannot be used: {error}\n")
        return EXIT_RUNTIME


if __name__ == "__main__":
    sys.exit(main())
