"""Commands that make something once, such as a build: run in order, logged, and bounded in time."""

import asyncio
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine_provisioner.errors import PreflightError

_LOG_LINES = 5


async def run_steps(
    commands: Sequence[tuple[str, ...]], *, log: Path, timeout_s: float, done: Path
) -> None:
    """Run the commands and leave `done` behind; raises `PreflightError` with the end of the log."""
    await asyncio.to_thread(log.parent.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(log.write_bytes, b"")
    for command in commands:
        code = await _logged(command, log, timeout_s)
        if code != 0:
            end = await asyncio.to_thread(_end_of, log)
            raise PreflightError(
                f"{shlex.join(command)} ended with {code}: {end}; the whole log is {log}"
            )
    await asyncio.to_thread(done.touch)


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return " / ".join(lines[-_LOG_LINES:])


async def _logged(command: tuple[str, ...], log: Path, timeout_s: float) -> int | None:
    with log.open("ab") as file:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        async with asyncio.timeout(timeout_s):
            return await child.wait()
    except TimeoutError:
        return None
    finally:
        with suppress(ProcessLookupError):
            if child.returncode is None:
                child.terminate()
