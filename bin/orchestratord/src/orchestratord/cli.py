"""The command line: `orchestratord [options]`, `orchestratord config show|check`."""

import os
from collections.abc import Sequence

from orchestratord.config import SCHEMA, Settings
from program_config import CommandLine


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return CommandLine(
        schema=SCHEMA,
        description="The control plane of llama-orch. Without a command it serves.",
        serve=_serve,
        spoken_of_first={
            "demo": "serve the built-in model on the CPU, for a first look",
            "model": "serve this model, for example file:/models/some.gguf",
        },
        switches=frozenset({"demo"}),
    ).main(argv, os.environ)


def _serve(settings: Settings) -> int:
    # A check of the configuration needs neither an engine nor a server.
    from http_shell import run
    from orchestratord.serving import serve

    return run(serve(settings))
