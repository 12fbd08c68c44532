"""The command line: `orchestratord [options]`, `orchestratord config show|check`."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestratord.config import SCHEMA, Settings
from program_config import CommandLine

if TYPE_CHECKING:
    from orchestratord.composed import Layout


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

    return run(serve(settings, _layout(settings)))


def _layout(settings: Settings) -> "Layout":
    # Each brings along what the other has no use for.
    if settings.remote_nodes:
        from orchestratord.cloud import CLOUD

        return CLOUD
    from orchestratord.home import HOME

    return HOME
