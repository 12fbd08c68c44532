"""The command line: `pool-managerd [options]`, `pool-managerd config show|check`."""

import asyncio
import os
from collections.abc import Sequence

import uvloop

from pool_managerd.config import SCHEMA, Settings
from program_config import CommandLine


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return CommandLine(
        schema=SCHEMA,
        description="The node daemon of llama-orch. Without a command it serves.",
        serve=_serve,
    ).main(argv, os.environ)


def _serve(settings: Settings) -> int:
    from pool_managerd.node import serve  # a check of the configuration needs no engine

    # A relayed token costs half of what it does on asyncio's own loop.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))
