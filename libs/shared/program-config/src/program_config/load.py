"""From command line, environment and file to settings, with every problem told at once."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Generic

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from program_config.schema import PROGRAM_TABLES, Given, Layer, S, Schema
from program_config.variables import (
    CONFIG_FILE_VARIABLE,
    CONTRACT_VARIABLES,
    PREFIXES,
    Variable,
    is_service_link,
)

DEFAULT = "default"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has all of them, one sentence each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """Settings, where each came from, and what is odd without being wrong."""

    settings: S
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def load(
    schema: Schema[S],
    *,
    command_line: Mapping[str, str | bool],
    environ: Mapping[str, str],
    config_path: str | None = None,
) -> Loaded[S]:
    """Read all sources; `command_line` maps settings to what was given for them.

    Raises ConfigError with every problem of every source.
    """
    problems: list[str] = []
    warnings: list[str] = []
    path = config_path or environ.get(CONFIG_FILE_VARIABLE) or None
    layers = (
        schema.complete(_read_command_line(command_line), problems),
        schema.complete(_read_environment(schema, environ, problems), problems),
        schema.complete(_read_file(schema, path, problems, warnings) if path else {}, problems),
    )
    given: dict[str, Given] = {}
    for layer in layers:
        given = {**layer, **given}
    try:
        settings = schema.settings(**{name: item.value for name, item in given.items()})
    except ValidationError as error:
        # A default that is built from other settings only repeats what is wrong with those.
        problems.extend(
            _problem(schema, details, given)
            for details in error.errors()
            if details["type"] != "default_factory_not_called"
        )
    problems.extend(schema.contradictions(given))
    if problems:
        raise ConfigError(problems)
    origins = {
        name: given[name].origin if name in given else DEFAULT
        for name in schema.settings.model_fields
    }
    warnings.extend(_unknown_variables(schema, environ))
    return Loaded(settings, MappingProxyType(origins), tuple(warnings))


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name may have been meant, as the end of a sentence."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _read_command_line(values: Mapping[str, str | bool]) -> Layer:
    return {
        name: Given(value, f"command line --{name.replace('_', '-')}")
        for name, value in values.items()
    }


def _read_environment(schema: Schema[S], environ: Mapping[str, str], problems: list[str]) -> Layer:
    # An empty variable is an unset one.
    present = {
        name: value
        for name, value in environ.items()
        if value.strip() and not is_service_link(name, value)
    }
    problems.extend(
        f"{name} (environment): this version does not serve it; unset it"
        for name in sorted(schema.not_served & present.keys())
    )
    layer: dict[str, Given] = {}
    for name, variable in schema.variables.items():
        spellings = _spellings(variable, present, problems)
        if len(set(spellings.values())) > 1:
            problems.append(
                f"{' and '.join(spellings)} (environment): two names of one setting with "
                "different values; keep one of them"
            )
        for spelling, value in spellings.items():
            layer.setdefault(name, Given(value, f"environment {spelling}"))
    return layer


def _spellings(
    variable: Variable, present: Mapping[str, str], problems: list[str]
) -> dict[str, str]:
    """Return what the names of one variable hold, the main name first."""
    found = {variable.name: present[variable.name]} if variable.name in present else {}
    for alias in variable.aliases:
        if alias.name in present:
            found[alias.name] = alias.convert(present[alias.name])
    file_name = f"{variable.name}_FILE"
    if variable.file_variant and file_name in present:
        if found:
            problems.append(f"{variable.name} and {file_name} (environment): keep one of them")
            return found
        try:
            found[file_name] = Path(present[file_name]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{file_name} (environment): cannot read the file: {error}")
    return found


def _read_file(schema: Schema[S], path: str, problems: list[str], warnings: list[str]) -> Layer:
    try:
        content = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"configuration file {path}: {error}")
        return {}
    own = content.get(schema.table, {})
    if not isinstance(own, dict):
        problems.append(f"{schema.table} (file {path}): must be a table")
        own = {}
    common = {
        key: value
        for key, value in content.items()
        if key not in PROGRAM_TABLES and key not in schema.elsewhere
    }
    fields = schema.settings.model_fields
    warnings.extend(
        f"{key} (file {path}): belongs to another program here; {schema.program} reads it in "
        f"the table [{schema.table}]"
        for key in content
        if key in schema.elsewhere and key in fields
    )
    problems.extend(
        f"{key} (file {path}): unknown key{nearest(key, fields)}"
        for key in {**common, **own}
        if key not in fields
    )
    layer = {key: Given(value, f"file {path}") for key, value in common.items() if key in fields}
    for key, value in own.items():
        if key in fields:
            layer[key] = Given(value, f"file {path} [{schema.table}]")
    return layer


def _unknown_variables(schema: Schema[S], environ: Mapping[str, str]) -> Iterable[str]:
    ours = {name for variable in schema.variables.values() for name in variable.names}
    known = ours | CONTRACT_VARIABLES
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIXES) and name not in known and not is_service_link(name, value):
            yield f"{name} (environment): no program of llama-orch reads it{nearest(name, known)}"


def _problem(schema: Schema[S], details: ErrorDetails, given: Layer) -> str:
    """Turn one of pydantic's findings into a sentence that names setting and source."""
    location = details["loc"]
    message = details["msg"].removeprefix("Value error, ")
    if not location:
        return message
    name = str(location[0])
    place = ".".join(str(part) for part in location)
    origin = given[name].origin if name in given else DEFAULT
    if details["type"] == "extra_forbidden":
        known = schema.items[name].model_fields if name in schema.items else ()
        return f"{place} ({origin}): unknown key{nearest(str(location[-1]), known)}"
    hidden = name in schema.secret or isinstance(details["input"], dict | BaseModel | SecretStr)
    shown = "" if hidden else f", got {details['input']!r}"
    return f"{place} ({origin}): {message}{shown}"
