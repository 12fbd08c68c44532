"""The commands that change which models are here, and which of them pools serve."""

import argparse
import asyncio
import sys
from contextlib import aclosing
from typing import TextIO

from api_types import ModelView, PoolView, PreparationStep, PurgeRequest
from llorch import tables
from llorch.exits import Exit
from llorch.listing import print_answer
from llorch.terminal import StatusLine, harmless
from orchestrator_client import Client

LOOK_S = 0.5
"""Between two looks at a pool that changes its model."""
LINES_S = 5.0
"""Between two lines of progress where there is no terminal."""


async def pull(client: Client, args: argparse.Namespace) -> Exit:
    """Bring a model to the server's disk; an interrupt keeps what has arrived for the next time."""
    view = PullView(sys.stderr)
    try:
        async with aclosing(
            client.pull(args.reference, digest=args.digest, node_id=args.node)
        ) as steps:
            async for step in steps:
                if isinstance(step, ModelView):
                    view.close()
                    return print_answer(args, step, step.model_id)
                view.show(step, asyncio.get_running_loop().time())
    finally:
        view.close()
    return Exit.FAILED


class PullView:
    """A bar that is overwritten on a terminal; elsewhere a line now and then."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._status = StatusLine(err)
        self._told_s = float("-inf")

    def show(self, step: PreparationStep, now_s: float) -> None:
        """Show one step."""
        text = tables.preparation(step)
        if self._status.visible:
            self._status.show(text)
        elif now_s - self._told_s >= LINES_S or step.status != "running":
            self._told_s = now_s
            self._err.write(harmless(text) + "\n")
            self._err.flush()

    def close(self) -> None:
        """Take the bar away."""
        self._status.clear()


async def reload(client: Client, args: argparse.Namespace) -> Exit:
    """Have a pool take another model, and wait until it serves it or has told why not."""
    before = await client.pool_status(args.pool)
    await client.reload(args.pool, args.reference)
    if args.no_wait:
        return Exit.OK
    status = StatusLine(sys.stderr)
    try:
        while True:
            pool = await client.pool_status(args.pool)
            if pool.last_error and pool.last_error != before.last_error:
                status.clear()
                sys.stderr.write(f"llorch: {harmless(pool.last_error)}\n")
                return Exit.FAILED
            if pool.ready and _has_changed(before, pool):
                return print_answer(args, pool, f"{pool.pool_id} serves {pool.model_id}")
            status.show(f"{pool.pool_id} · {pool.state} · {pool.active_leases} tasks run …")
            await asyncio.sleep(LOOK_S)
    finally:
        status.clear()


def _has_changed(before: PoolView, now: PoolView) -> bool:
    """Whether all engines that serve are others: a reload to the same model starts new ones."""
    old = {(each.replica_id, each.generation) for each in before.replicas}
    serving = {(each.replica_id, each.generation) for each in now.replicas if each.health.ready}
    return bool(serving) and serving.isdisjoint(old)


async def purge(client: Client, args: argparse.Namespace) -> Exit:
    """Have a pool's engines stop, and what it takes of the disk deleted."""
    if not (args.engine or args.models or args.caches):
        sys.stderr.write("llorch: say what is to go: --engine, --models or --caches\n")
        return Exit.USAGE
    wish = PurgeRequest(
        purge_engine=args.engine,
        purge_models=args.models,
        delete_cache_dirs=args.caches,
        drain_first=args.drain,
        force=args.force,
    )
    pool = await client.purge_pool(args.pool, wish)
    return print_answer(args, pool, f"{pool.pool_id} is being purged")


async def pin(client: Client, args: argparse.Namespace) -> Exit:
    """Keep a model from being deleted."""
    model = await client.pin(args.model_id, node_id=args.node)
    return print_answer(args, model, f"{model.model_id} is pinned")


async def unpin(client: Client, args: argparse.Namespace) -> Exit:
    """Let a model be deleted again."""
    model = await client.pin(args.model_id, pinned=False, node_id=args.node)
    return print_answer(args, model, f"{model.model_id} is not pinned")


async def retire(client: Client, args: argparse.Namespace) -> Exit:
    """Offer a model no longer."""
    model = await client.retire(args.model_id, node_id=args.node)
    return print_answer(args, model, f"{model.model_id} is {model.state}")


async def verify(client: Client, args: argparse.Namespace) -> Exit:
    """Have a model's files read; fails unless they are intact."""
    found = await client.verify(args.model_id, node_id=args.node)
    bad = f": {', '.join(found.bad_files)}" if found.bad_files else ""
    print_answer(args, found, f"{found.model_id} is {found.verdict}{bad}")
    return Exit.OK if found.verdict == "intact" else Exit.FAILED


async def gc(client: Client, args: argparse.Namespace) -> Exit:
    """Print what a collection would delete, or have it done."""
    if not args.run:
        plan = await client.gc_plan(node_id=args.node)
        return print_answer(args, plan, tables.gc_plan(plan))
    ran = await client.gc_run(node_id=args.node)
    print_answer(args, ran, tables.gc_run(ran))
    failed = ran.unanswered or any(step.outcome == "failed" for step in ran.steps)
    return Exit.FAILED if failed else Exit.OK


async def cache(client: Client, args: argparse.Namespace) -> Exit:
    """Print what is staged in RAM."""
    found = await client.model_cache(node_id=args.node)
    return print_answer(args, found, tables.model_cache(found))


async def stage(client: Client, args: argparse.Namespace) -> Exit:
    """Have a model brought into RAM, and wait until it is there or why it is not."""
    staged = await client.stage(args.model_id, pinned=args.pin, node_id=args.node)
    status = StatusLine(sys.stderr)
    try:
        while staged.state == "staging" and not args.no_wait:
            status.show(tables.staging(staged))
            await asyncio.sleep(LOOK_S)
            known = await client.model_cache(node_id=staged.node_id)
            found = [each for each in known.models if each.model_id == args.model_id]
            if not found:
                status.clear()
                sys.stderr.write(f"llorch: {harmless(args.model_id)} is not staged any more\n")
                return Exit.FAILED
            staged = found[0]
    finally:
        status.clear()
    print_answer(args, staged, tables.staging(staged))
    return Exit.FAILED if staged.state == "failed" else Exit.OK


async def drop(client: Client, args: argparse.Namespace) -> Exit:
    """Let the RAM of a staged model go."""
    await client.unstage(args.model_id, node_id=args.node)
    return Exit.OK
