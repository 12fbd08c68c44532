"""The command line of a program: `PROGRAM [options]`, `… config show|check`, `… COMMAND`."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Generic

from program_config.load import ConfigError, Loaded, load, nearest
from program_config.report import describe
from program_config.schema import S, Schema

EXIT_BAD_CONFIGURATION = 2
_COMMANDS = frozenset({"config", "show", "check"})


@dataclass(frozen=True, slots=True)
class Command(Generic[S]):
    """What a program does instead of serving."""

    text: str
    """For `--help`."""
    run: Callable[[S], int]
    """Returns the exit code; called with a valid configuration only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine(Generic[S]):
    """A program as it is called."""

    schema: Schema[S]
    description: str
    serve: Callable[[S], int]
    """Runs the program and returns its exit code; called with a valid configuration only."""
    spoken_of_first: Mapping[str, str] = field(default_factory=dict)
    """Settings at the top of `--help`, and what is said about them."""
    switches: frozenset[str] = frozenset()
    """Settings that an option can only turn on."""
    commands: Mapping[str, Command[S]] = field(default_factory=dict)
    """Besides `config`."""

    def main(self, argv: Sequence[str] | None, environ: Mapping[str, str]) -> int:
        """Run the program and return its exit code; `argv` None: as it was called."""
        arguments = list(sys.argv[1:] if argv is None else argv)
        known, unknown = self._parted(arguments)
        given, odd = self._parser().parse_known_args(known)
        unknown += odd
        try:
            loaded = self._load(given, unknown, environ)
        except ConfigError as error:
            for problem in error.problems:
                self._say_error(problem)
            return EXIT_BAD_CONFIGURATION
        for warning in loaded.warnings:
            self._say_error(f"warning: {warning}")
        match getattr(given, "action", None):
            case "show":
                _say(*describe(self.schema, loaded))
                return 0
            case "check":
                _say("the configuration is valid")
                return 0
            case _:
                command = self.commands.get(getattr(given, "command", ""))
                return (command.run if command else self.serve)(loaded.settings)

    def _parted(self, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
        """Part what the parser may see from options that do not exist, their values left out.

        The parser would take such a value for a command, and complain of that alone.
        """
        options = {"--config", "--help", "--version", *map(_option, self._optional())}
        options |= {f"--no-{name.removeprefix('--')}" for name in options}
        known: list[str] = []
        unknown: list[str] = []
        may_be_value = False
        for argument in arguments:
            name, given, _ = argument.partition("=")
            if argument.startswith("--") and name not in options:
                unknown.append(argument)
                may_be_value = not given
            elif argument.startswith("-") or argument in _COMMANDS or not may_be_value:
                known.append(argument)
                may_be_value = False
            else:
                may_be_value = False
        return known, unknown

    def _load(
        self, given: argparse.Namespace, unknown: Sequence[str], environ: Mapping[str, str]
    ) -> Loaded[S]:
        fields = self.schema.settings.model_fields
        values = {name: value for name, value in vars(given).items() if name in fields}
        problems = [self._unknown(argument) for argument in unknown]
        try:
            loaded = load(
                self.schema,
                command_line=values,
                environ=environ,
                config_path=getattr(given, "config", None),
            )
        except ConfigError as error:
            problems.extend(error.problems)
        if problems:
            raise ConfigError(problems)
        return loaded

    def _unknown(self, argument: str) -> str:
        name = argument.partition("=")[0]
        if not name.startswith("-"):
            return f"command line {argument!r}: not understood; see --help"
        known = [_option(field) for field in self._optional()]
        return f"command line {name}: unknown option{nearest(name, [*known, '--config'])}"

    def _optional(self) -> list[str]:
        fields = self.schema.settings.model_fields
        return [name for name in fields if name not in self.schema.file_only]

    def _parser(self) -> argparse.ArgumentParser:
        program, options = self.schema.program, self._options()
        parser = argparse.ArgumentParser(
            prog=program, description=self.description, parents=[options], allow_abbrev=False
        )
        parser.add_argument("--version", action="version", version=f"{program} {version(program)}")
        commands = parser.add_subparsers(
            title="commands", metavar="|".join(["config show", "check", *self.commands])
        )
        config = commands.add_parser("config", help="look at the configuration", allow_abbrev=False)
        actions = config.add_subparsers(dest="action", required=True)
        for name, text in (
            ("show", "print the effective values and where each comes from"),
            ("check", "print every problem; exit code 2 if there is one"),
        ):
            actions.add_parser(name, help=text, parents=[options], allow_abbrev=False)
        for name, command in self.commands.items():
            added = commands.add_parser(
                name, help=command.text, parents=[options], allow_abbrev=False
            )
            added.set_defaults(command=name)
        return parser

    def _options(self) -> argparse.ArgumentParser:
        """Make an option of each setting; what is not given leaves no trace."""
        options = argparse.ArgumentParser(
            add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False
        )
        options.add_argument(
            "--config", metavar="PATH", help="TOML file with settings (LLORCH_CONFIG)"
        )
        variables = self.schema.variables
        # The sort is stable: these first, and the others in the order of the model.
        for name in sorted(self._optional(), key=lambda name: name not in self.spoken_of_first):
            text = self.spoken_of_first.get(name) or variables[name].name
            if name in self.switches:
                options.add_argument(_option(name), action="store_true", help=text)
            elif self.schema.settings.model_fields[name].annotation is bool:
                options.add_argument(
                    _option(name), action=argparse.BooleanOptionalAction, help=text
                )
            else:
                options.add_argument(_option(name), metavar="VALUE", help=text)
        return options

    def _say_error(self, line: str) -> None:
        sys.stderr.write(f"{self.schema.program}: {line}\n")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
