"""The commands that ask once and print."""

import argparse
import sys
from importlib.metadata import version as installed_version

from pydantic import BaseModel

from llorch import tables
from llorch.exits import Exit
from orchestrator_client import Client


async def list_tasks(client: Client, args: argparse.Namespace) -> Exit:
    """Print the newest tasks."""
    found = await client.tasks(state=args.state, limit=args.limit)
    return print_answer(args, found, tables.tasks(found.tasks))


async def show_task(client: Client, args: argparse.Namespace) -> Exit:
    """Print all that is known about one task."""
    status = await client.status(args.task_id)
    return print_answer(args, status, status.model_dump_json(indent=2, exclude_none=True))


async def cancel_task(client: Client, args: argparse.Namespace) -> Exit:
    """Stop one task."""
    await client.cancel(args.task_id)
    return Exit.OK


async def list_pools(client: Client, args: argparse.Namespace) -> Exit:
    """Print the pools."""
    found = await client.pools()
    return print_answer(args, found, tables.pools(found))


async def list_models(client: Client, args: argparse.Namespace) -> Exit:
    """Print the models of the catalog."""
    found = await client.models(node_id=args.node)
    return print_answer(args, found, tables.models(found))


async def version(client: Client, args: argparse.Namespace) -> Exit:
    """Print the versions of this program and of the server."""
    if not args.json:
        sys.stdout.write(f"llorch {installed_version('llorch')}\n")
    server = await client.version()
    about = f"{server.service} {server.version} (API {server.api_version}, Python {server.python})"
    return print_answer(args, server, about)


def print_answer(args: argparse.Namespace, answer: BaseModel, text: str) -> Exit:
    """Print an answer as people or programs want it."""
    sys.stdout.write((answer.model_dump_json() if args.json else text) + "\n")
    return Exit.OK
