import argparse
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_types import Priority, TaskState
from llorch.calling import COMMANDS
from llorch.cli import PRIORITIES, TASK_STATES, _parser, main
from llorch.exits import Exit
from llorch.tables import size, span
from llorch.terminal import harmless


def test_an_unreachable_server_says_what_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert main(["pools", "--url", url]) == Exit.UNREACHABLE
    said = capsys.readouterr().err
    assert said.startswith(f"llorch: no connection to {url}: Connection refused\n")
    assert "uv run orchestratord --demo" in said


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["run"],
        ["run", "hi", "--priority", "urgent"],
        ["run", "hi", "--max-tokens", "many"],
        ["tasks", "show", "no-uuid"],
        ["tasks", "list", "--state", "odd"],
        ["pools", "--url", "localhost:8080"],
        ["gc", "--delete"],
        ["models", "pin"],
        ["reload", "default"],
    ],
)
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == Exit.USAGE


def test_a_request_that_cannot_be_is_wrong_usage_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hi", "--max-tokens", "0"]) == Exit.USAGE
    assert "max_tokens: " in capsys.readouterr().err


def test_control_characters_are_taken_out_but_line_breaks_stay() -> None:
    assert harmless("a\x1b[2J\r\n\tb\x9b\x7fwörld") == "a[2J\n\tbwörld"


@pytest.mark.parametrize(
    ("amount_bytes", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 1024**5, "5120.0 TiB"), (None, None)],
)
def test_sizes_are_said_in_binary_units(amount_bytes: int | None, said: str | None) -> None:
    assert size(amount_bytes) == said


@pytest.mark.parametrize(
    ("duration_ms", "said"), [(7, "7 ms"), (1_500, "1.5 s"), (61_000, "1 min 1 s")]
)
def test_durations_are_said_in_the_unit_that_fits(duration_ms: int, said: str) -> None:
    assert span(duration_ms) == said


def test_every_command_of_the_readme_is_understood() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    for line in block.splitlines():
        words = shlex.split(line.partition("<")[0], comments=True)
        assert words[0] == "llorch"
        assert _parser().parse_args(words[1:]).command in COMMANDS


def test_what_can_be_asked_for_can_be_done_and_the_other_way_round() -> None:
    assert set(_commands(_parser())) == set(COMMANDS)
    assert tuple(PRIORITIES) == tuple(Priority)
    assert tuple(TASK_STATES) == tuple(TaskState)


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    if command := parser.get_default("command"):
        yield command
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _commands(inner)


def test_help_needs_nothing_that_talks_to_a_server() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "llorch", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("usage: llorch")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "llorch.cli" in imported
    assert not {"aiohttp", "asyncio", "pydantic", "api_types", "orchestrator_client"} & imported
