"""`llorch serve REF`: a model is served, by the server that runs or by one started for it."""

import argparse
import os
import shutil
import sys
from contextlib import aclosing
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from api_types import ModelView, PoolView
from llorch.exits import Exit
from llorch.keeping import PullView, reload
from llorch.listing import print_answer
from llorch.terminal import harmless
from orchestrator_client import Client, Unreachable

SERVER = "orchestratord"
DEFAULT_PORT = 8080


async def serve(client: Client, args: argparse.Namespace) -> Exit:
    """Have a model pulled and loaded; without a server on this machine, become one."""
    try:
        await client.version()
    except Unreachable:
        address = own_address(args.url)
        if address is None:
            raise
        return _serve_here(args, address)
    model = await _pulled(client, args)
    if model is None:
        return Exit.FAILED
    pools = (await client.pools()).pools
    if (serving := next((pool for pool in pools if _serves(pool, model)), None)) is not None:
        return print_answer(args, serving, f"{serving.pool_id} serves {model.model_id}")
    able = [pool for pool in pools if model.model_id in pool.loadable_models]
    if not able:
        names = ", ".join(pool.pool_id for pool in pools) or "none"
        sys.stderr.write(
            f"llorch: {harmless(model.model_id)} is here, but no pool may load it (swap_models)\n"
            f"  give it to one with: llorch reload POOL {harmless(args.reference)}  "
            f"(pools: {harmless(names)})\n"
        )
        return Exit.FAILED
    args.pool, args.reference, args.no_wait = able[0].pool_id, model.reference, False
    return await reload(client, args)


async def _pulled(client: Client, args: argparse.Namespace) -> ModelView | None:
    view = PullView(sys.stderr)
    try:
        async with aclosing(client.pull(args.reference)) as steps:
            async for step in steps:
                if isinstance(step, ModelView):
                    return step
                view.show(step, 0.0)
    finally:
        view.close()
    return None


def _serves(pool: PoolView, model: ModelView) -> bool:
    return any(
        replica.health.ready and replica.model_id == model.model_id for replica in pool.replicas
    )


def own_address(url: str) -> str | None:
    """Return where a server of this machine would listen to be found there; None: elsewhere."""
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        return None
    if not loopback or parts.scheme != "http":
        return None
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or DEFAULT_PORT}"


def _serve_here(args: argparse.Namespace, address: str) -> Exit:
    beside = Path(sys.executable).with_name(SERVER)
    program = str(beside) if beside.exists() else shutil.which(SERVER)
    if program is not None:
        sys.stderr.write(f"llorch: nothing answers at {args.url}: starting {SERVER} there\n")
        sys.stderr.flush()
        _become(program, "--model", args.reference, "--bind-addr", address, *args.arguments)
    sys.stderr.write(
        f"llorch: nothing answers at {args.url}, and {SERVER} is not installed here\n"
        f"  install it (pip install {SERVER}), or name a server with --url\n"
    )
    return Exit.UNREACHABLE


def _become(program: str, *arguments: str) -> NoReturn:
    """Run a program in place of this one, so that Ctrl-C and signals reach it."""
    os.execv(program, [program, *arguments])  # noqa: S606 - our own server
