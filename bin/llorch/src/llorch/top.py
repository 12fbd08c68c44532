"""`llorch top`: pools and queue, again and again."""

import argparse
import asyncio
import sys
from contextlib import suppress
from datetime import UTC, datetime

from api_types import TaskState
from llorch import tables
from llorch.exits import Exit
from llorch.terminal import Screen
from orchestrator_client import Client, LlamaOrchError

_ALIVE = (TaskState.RUNNING, TaskState.STOPPING, TaskState.PREPARING, TaskState.QUEUED)
_PAGE = 100


async def top(client: Client, args: argparse.Namespace) -> Exit:
    """Show the pools and the tasks that wait or run; live on a terminal, else once."""
    if args.once or not sys.stdout.isatty():
        sys.stdout.write(await _picture(client) + "\n")
        return Exit.OK
    with Screen(sys.stdout) as screen, suppress(asyncio.CancelledError):  # Ctrl-C: the way out
        while True:
            try:
                picture = await _picture(client)
            except LlamaOrchError as error:
                picture = f"{error}\ntrying again …"
            now = datetime.now(UTC).astimezone().strftime("%H:%M:%S")
            screen.show(f"{args.url} · {now} · leave with Ctrl-C\n{picture}")
            await asyncio.sleep(args.interval)
    return Exit.OK


async def _picture(client: Client) -> str:
    pools, pages = await asyncio.gather(
        client.pools(),
        asyncio.gather(*(client.tasks(state=state, limit=_PAGE) for state in _ALIVE)),
    )
    counts = " · ".join(
        f"{len(page.tasks)}{'+' if page.next_cursor else ''} {state}"
        for state, page in zip(_ALIVE, pages, strict=True)
        if page.tasks
    )
    tasks = [task for page in pages for task in page.tasks]
    return "\n".join(
        [counts or "no task waits or runs", "", tables.pools(pools)]
        + (["", tables.tasks(tasks)] if tasks else [])
    )
