"""The command line: `engine-provisionerd [options]`, `… plan`, `… config show|check`."""

import asyncio
import os
from collections.abc import Sequence

from engine_provisionerd.config import SCHEMA, Settings
from program_config import Command, CommandLine


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return CommandLine(
        schema=SCHEMA,
        description="Starts the engines of a GPU machine. Without a command it serves.",
        serve=_serve,
        commands={
            "plan": Command("print how each engine would be started, and start nothing", _plan)
        },
    ).main(argv, os.environ)


def _serve(settings: Settings) -> int:
    from engine_provisionerd.serving import serve  # a check of the configuration needs no engine

    return asyncio.run(serve(settings))


def _plan(settings: Settings) -> int:
    from engine_provisionerd.printing import print_plans

    return asyncio.run(print_plans(settings))
