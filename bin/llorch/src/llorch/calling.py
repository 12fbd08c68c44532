"""A command is carried out, and errors become what is said and the exit code."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from pydantic import ValidationError

from llorch import keeping, listing
from llorch.exits import Exit
from llorch.running import run
from llorch.serving import serve
from llorch.terminal import harmless
from llorch.top import top
from orchestrator_client import (
    ApiStatusError,
    Client,
    ConnectionLost,
    LlamaOrchError,
    RetryPolicy,
    Unreachable,
)

Command = Callable[[Client, argparse.Namespace], Awaitable[Exit]]

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "run": run,
        "tasks list": listing.list_tasks,
        "tasks show": listing.show_task,
        "tasks cancel": listing.cancel_task,
        "pools": listing.list_pools,
        "version": listing.version,
        "pull": keeping.pull,
        "serve": serve,
        "models": listing.list_models,
        "models pin": keeping.pin,
        "models unpin": keeping.unpin,
        "models retire": keeping.retire,
        "models verify": keeping.verify,
        "reload": keeping.reload,
        "purge": keeping.purge,
        "cache": keeping.cache,
        "cache stage": keeping.stage,
        "cache drop": keeping.drop,
        "gc": keeping.gc,
        "top": top,
    }
)

_RETRY = RetryPolicy(attempts=3)
"""Somebody waits at the terminal: tell soon that nothing answers."""


def call(args: argparse.Namespace) -> Exit:
    """Carry out the command that was read, and say what went wrong."""
    try:
        return asyncio.run(_command(args))
    except ValidationError as error:
        return _fail(Exit.USAGE, *_complaints(error))
    except (Unreachable, ConnectionLost) as error:
        return _fail(Exit.UNREACHABLE, str(error), *_how_to_reach(error, args.url))
    except ApiStatusError as error:
        return _fail(Exit.FAILED, str(error), *filter(None, [error.hint]))
    except LlamaOrchError as error:
        return _fail(Exit.FAILED, str(error))


async def _command(args: argparse.Namespace) -> Exit:
    api_key = os.environ.get("LLORCH_API_KEY") or None
    async with Client(args.url, api_key=api_key, retry=_RETRY) as client:
        return await COMMANDS[args.command](client, args)


def _complaints(error: ValidationError) -> list[str]:
    named = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors())
    return [f"{place}: {message}" if place else message for place, message in named]


def _how_to_reach(error: LlamaOrchError, url: str) -> list[str]:
    if not isinstance(error, Unreachable):
        return []
    return [
        "start a server with: uv run orchestratord --demo",
        f"or name another than {url} with --url or LLORCH_URL",
    ]


def _fail(outcome: Exit, *lines: str) -> Exit:
    first, *rest = map(harmless, lines)
    sys.stderr.write("\n  ".join([f"llorch: {first}", *rest]) + "\n")
    return outcome
