"""What somebody types at a terminal."""

import asyncio
import os
import sys
from dataclasses import dataclass

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


async def llorch(url: str, *arguments: str, key: str | None = None) -> Done:
    """Run a command against a server to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llorch", *arguments, "--url", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        env=os.environ | ({} if key is None else {"LLORCH_API_KEY": key}),
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return Done(process.returncode or 0, out.decode().strip(), err.decode().strip())
