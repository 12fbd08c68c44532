"""The command line: `orchestratord [options]`, `orchestratord config show|check`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from orchestratord.config import ConfigError, Loaded, Settings, describe, load, nearest, variables

EXIT_BAD_CONFIGURATION = 2

_FILE_ONLY = frozenset({"pools", "api_tokens"})
"""A list of tables does not fit on a command line, and a secret shows in every process list."""
_SPOKEN_OF_FIRST = {
    "demo": "serve the built-in model on the CPU, for a first look",
    "model": "serve this model, for example file:/models/some.gguf",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    given, unknown = _parser().parse_known_args(arguments)
    try:
        loaded = _load(given, unknown, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            _say_error(problem)
        return EXIT_BAD_CONFIGURATION
    for warning in loaded.warnings:
        _say_error(f"warning: {warning}")
    match getattr(given, "action", None):
        case "show":
            _say(*describe(loaded))
            return 0
        case "check":
            _say("the configuration is valid")
            return 0
        case _:
            from orchestratord.home import serve  # a check of the configuration needs no engine

            return asyncio.run(serve(loaded.settings))


def _load(given: argparse.Namespace, unknown: Sequence[str], environ: Mapping[str, str]) -> Loaded:
    values = {
        field: value for field, value in vars(given).items() if field in Settings.model_fields
    }
    problems = [_unknown(argument) for argument in unknown]
    try:
        loaded = load(
            command_line=values, environ=environ, config_path=getattr(given, "config", None)
        )
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return loaded


def _unknown(argument: str) -> str:
    name = argument.partition("=")[0]
    if not name.startswith("-"):
        return f"command line {argument!r}: not understood; see --help"
    known = [_option(field) for field in Settings.model_fields if field not in _FILE_ONLY]
    return f"command line {name}: unknown option{nearest(name, [*known, '--config'])}"


def _parser() -> argparse.ArgumentParser:
    options = _options()
    parser = argparse.ArgumentParser(
        prog="orchestratord",
        description="The control plane of llama-orch. Without a command it serves.",
        parents=[options],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"orchestratord {version('orchestratord')}"
    )
    commands = parser.add_subparsers(title="commands", metavar="config show|check")
    config = commands.add_parser("config", help="look at the configuration", allow_abbrev=False)
    actions = config.add_subparsers(dest="action", required=True)
    for name, text in (
        ("show", "print the effective values and where each comes from"),
        ("check", "print every problem; exit code 2 if there is one"),
    ):
        actions.add_parser(name, help=text, parents=[options], allow_abbrev=False)
    return parser


def _options() -> argparse.ArgumentParser:
    """Make an option of each setting; what is not given leaves no trace."""
    options = argparse.ArgumentParser(
        add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False
    )
    options.add_argument("--config", metavar="PATH", help="TOML file with settings (LLORCH_CONFIG)")
    # The sort is stable: these first, and the others in the order of the model.
    for field in sorted(Settings.model_fields, key=lambda name: name not in _SPOKEN_OF_FIRST):
        if field in _FILE_ONLY:
            continue
        text = _SPOKEN_OF_FIRST.get(field) or variables()[field].name
        if field == "demo":
            options.add_argument("--demo", action="store_true", help=text)
        elif Settings.model_fields[field].annotation is bool:
            options.add_argument(_option(field), action=argparse.BooleanOptionalAction, help=text)
        else:
            options.add_argument(_option(field), metavar="VALUE", help=text)
    return options


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _say_error(line: str) -> None:
    sys.stderr.write(f"orchestratord: {line}\n")
