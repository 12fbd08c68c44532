"""The command line: what may be asked, and how interrupts end.

What talks to the server is imported after the command line was read, so that `--help` and a wrong
word are answered quickly.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit
from uuid import UUID

from llorch.exits import Exit
from llorch.terminal import take_any_text

DEFAULT_URL = "http://127.0.0.1:8080"
PRIORITIES = ("interactive", "batch")
TASK_STATES = ("queued", "preparing", "running", "stopping", "finished", "failed", "canceled")

_EPILOG = """\
environment: LLORCH_URL (the server), LLORCH_API_KEY (where it asks for one)
exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 server not reachable
            130 interrupted (a running task is canceled) · 141 the reader went away
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    rest: list[str] = []
    if given[:1] == ["serve"] and "--" in given:
        # argparse would give them to the first positional argument that is left.
        given, rest = given[: given.index("--")], given[given.index("--") + 1 :]
    args = _parser().parse_args(given)
    args.arguments = rest
    take_any_text(sys.stdout, as_utf8=getattr(args, "json", False))
    take_any_text(sys.stderr, as_utf8=False)
    try:
        from llorch.calling import call

        outcome = call(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends; give it a place to do so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    return outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llorch",
        description="Talk to llama-orch.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument(
        "--url",
        type=_url,
        default=os.environ.get("LLORCH_URL") or DEFAULT_URL,
        help="the server (default: %(default)s)",
    )
    output = argparse.ArgumentParser(add_help=False, parents=[server])
    output.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ask = commands.add_parser("run", parents=[output], help="send a prompt, stream the answer")
    ask.add_argument("prompt", help="the prompt; - reads it from standard input")
    ask.add_argument("--model", metavar="REF", help="needed where several models are served")
    ask.add_argument("--max-tokens", type=int, metavar="N")
    ask.add_argument("--seed", type=int, metavar="N")
    ask.add_argument("--temperature", type=float, metavar="T")
    ask.add_argument("--priority", choices=PRIORITIES)
    ask.add_argument("--session", metavar="ID", help="keep to the engine that knows this session")
    ask.add_argument("--chat", action="store_true", help="apply the model's chat template")
    ask.set_defaults(command="run")

    tasks = commands.add_parser("tasks", help="list, show or cancel tasks")
    actions = tasks.add_subparsers(required=True, metavar="ACTION")
    listed = actions.add_parser("list", parents=[output], help="the newest tasks")
    listed.add_argument("--state", choices=TASK_STATES)
    listed.add_argument("--limit", type=int, default=20, metavar="N")
    listed.set_defaults(command="tasks list")
    shown = actions.add_parser("show", parents=[output], help="all about one task")
    shown.add_argument("task_id", type=UUID, metavar="ID")
    shown.set_defaults(command="tasks show")
    canceled = actions.add_parser("cancel", parents=[server], help="stop a task")
    canceled.add_argument("task_id", type=UUID, metavar="ID")
    canceled.set_defaults(command="tasks cancel")

    for name, about in (
        ("pools", "what serves, and how it is doing"),
        ("version", "this program's version and the server's"),
    ):
        asked = commands.add_parser(name, parents=[output], help=about)
        asked.set_defaults(command=name)

    _add_models(commands, output)

    watch = commands.add_parser("top", parents=[server], help="watch pools and queue")
    watch.add_argument("--once", action="store_true", help="print one picture and leave")
    watch.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds")
    watch.set_defaults(command="top")
    return parser


def _add_models(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", output: argparse.ArgumentParser
) -> None:
    node = argparse.ArgumentParser(add_help=False)
    node.add_argument("--node", metavar="ID", help="which node, where there are several")
    pulled = commands.add_parser("pull", parents=[output, node], help="bring a model to the server")
    pulled.add_argument("reference", metavar="REF", help="https:, hf:, s3:, oci: or file:")
    pulled.add_argument("--digest", metavar="sha256:…", help="refuse any other content")
    pulled.set_defaults(command="pull")

    served = commands.add_parser(
        "serve",
        parents=[output],
        help="pull a model and serve it; starts a server here if none runs",
        epilog="What stands after -- is given to a server that is started.",
    )
    served.add_argument("reference", metavar="REF", help="https:, hf:, s3:, oci: or file:")
    served.set_defaults(command="serve")

    models = commands.add_parser("models", parents=[output, node], help="the models of the catalog")
    models.set_defaults(command="models")
    actions = models.add_subparsers(metavar="ACTION")
    # May stand on either side of the action: without defaults, which would undo what stood before.
    again = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    again.add_argument("--url", type=_url, help="the server")
    again.add_argument("--json", action="store_true", help="print JSON")
    again.add_argument("--node", metavar="ID", help="which node, where there are several")
    for name, about in (
        ("pin", "keep it from being deleted"),
        ("unpin", "let it be deleted again"),
        ("retire", "offer it no longer; a collection may delete it"),
        ("verify", "read its files against their digests"),
    ):
        action = actions.add_parser(name, parents=[again], help=about)
        action.add_argument("model_id", metavar="ID")
        action.set_defaults(command=f"models {name}")

    reloaded = commands.add_parser("reload", parents=[output], help="give a pool another model")
    reloaded.add_argument("pool", metavar="POOL")
    reloaded.add_argument("reference", metavar="REF")
    reloaded.add_argument("--no-wait", action="store_true", help="do not wait until it serves")
    reloaded.set_defaults(command="reload")

    purged = commands.add_parser(
        "purge", parents=[output], help="stop a pool's engines and delete what it takes of the disk"
    )
    purged.add_argument("pool", metavar="POOL")
    purged.add_argument("--engine", action="store_true", help="what was built or installed for it")
    purged.add_argument("--models", action="store_true", help="its models")
    purged.add_argument("--caches", action="store_true", help="copies in RAM, logs of builds")
    purged.add_argument("--drain", action="store_true", help="let running tasks end first")
    purged.add_argument("--force", action="store_true", help="end running tasks now")
    purged.set_defaults(command="purge")

    cached = commands.add_parser("cache", parents=[output, node], help="the models in RAM")
    cached.set_defaults(command="cache")
    actions = cached.add_subparsers(metavar="ACTION")
    staged = actions.add_parser("stage", parents=[again], help="bring a model into RAM")
    staged.add_argument("model_id", metavar="ID")
    staged.add_argument("--pin", action="store_true", help="keep it there while nobody serves it")
    staged.add_argument("--no-wait", action="store_true", help="do not wait until it is there")
    staged.set_defaults(command="cache stage")
    dropped = actions.add_parser("drop", parents=[again], help="let its RAM go")
    dropped.add_argument("model_id", metavar="ID")
    dropped.set_defaults(command="cache drop")

    collected = commands.add_parser(
        "gc", parents=[output, node], help="what a collection would delete"
    )
    collected.add_argument("--run", action="store_true", help="delete it")
    collected.set_defaults(command="gc")


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no http:// or https:// address")
    return text
