"""From command line, environment and file to settings, with every problem told at once."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

from pydantic import BaseModel, SecretStr, ValidationError

from local_pool_manager import PoolConfig
from orchestratord.config.model import Settings
from orchestratord.config.variables import (
    CONFIG_FILE_VARIABLE,
    NOT_SERVED_YET,
    OF_OTHERS,
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
class Loaded:
    """Settings, where each came from, and what is odd without being wrong."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    origin: str


_Layer = dict[str, _Given]


@lru_cache(maxsize=1)
def variables() -> Mapping[str, Variable]:
    """Return each setting's environment variable."""
    found = {
        field: marker
        for field, info in Settings.model_fields.items()
        for marker in info.metadata
        if isinstance(marker, Variable)
    }
    return MappingProxyType(found)


def load(
    *,
    command_line: Mapping[str, str | bool],
    environ: Mapping[str, str],
    config_path: str | None = None,
) -> Loaded:
    """Read all sources; `command_line` maps settings to what was given for them.

    Raises ConfigError with every problem of every source.
    """
    problems: list[str] = []
    path = config_path or environ.get(CONFIG_FILE_VARIABLE) or None
    layers = [
        _with_demo(_read_command_line(command_line), problems),
        _with_demo(_read_environment(environ, problems), problems),
        _with_demo(_read_file(path, problems) if path else {}, problems),
    ]
    given: _Layer = {}
    for layer in layers:
        given = {**layer, **given}
    try:
        settings = Settings(**{field: item.value for field, item in given.items()})
    except ValidationError as error:
        # A default that is built from other settings only repeats what is wrong with those.
        problems.extend(
            _problem(details, given)
            for details in error.errors()
            if details["type"] != "default_factory_not_called"
        )
    problems.extend(_contradictions(given))
    if problems:
        raise ConfigError(problems)
    origins = {
        field: given[field].origin if field in given else DEFAULT for field in Settings.model_fields
    }
    return Loaded(settings, MappingProxyType(origins), tuple(_unknown_variables(environ)))


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name may have been meant, as the end of a sentence."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _read_command_line(values: Mapping[str, str | bool]) -> _Layer:
    return {
        field: _Given(value, f"command line --{field.replace('_', '-')}")
        for field, value in values.items()
    }


def _read_environment(environ: Mapping[str, str], problems: list[str]) -> _Layer:
    # An empty variable is an unset one.
    present = {
        name: value
        for name, value in environ.items()
        if value.strip() and not is_service_link(name, value)
    }
    problems.extend(
        f"{name} (environment): this version does not serve it; unset it"
        for name in sorted(NOT_SERVED_YET & present.keys())
    )
    layer: _Layer = {}
    for field, variable in variables().items():
        spellings = _spellings(variable, present, problems)
        if len(set(spellings.values())) > 1:
            problems.append(
                f"{' and '.join(spellings)} (environment): two names of one setting with "
                "different values; keep one of them"
            )
        for name, value in spellings.items():
            layer.setdefault(field, _Given(value, f"environment {name}"))
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


def _read_file(path: str, problems: list[str]) -> _Layer:
    try:
        content = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"configuration file {path}: {error}")
        return {}
    problems.extend(
        f"{key} (file {path}): unknown key{nearest(key, Settings.model_fields)}"
        for key in content
        if key not in Settings.model_fields
    )
    return {
        key: _Given(value, f"file {path}")
        for key, value in content.items()
        if key in Settings.model_fields
    }


def _with_demo(layer: _Layer, problems: list[str]) -> _Layer:
    """Let `demo` bring the CPU policy with the rank of the source that it stands in."""
    demo = layer.get("demo")
    if not _is_on(demo):
        return layer
    policy = layer.get("device_policy")
    if policy is not None and policy.value != "cpu":
        problems.append(
            f"device_policy ({policy.origin}): demo runs on the CPU; leave one of them out"
        )
    return {**layer, "device_policy": _Given("cpu", f"implied by demo ({demo.origin})")}


def _contradictions(given: _Layer) -> Iterable[str]:
    """Find settings that are each right and cannot stand together."""
    model = given.get("model")
    if model is not None and _is_on(given.get("demo")):
        yield f"model ({model.origin}): demo serves its own model; leave either of them out"
    if model is not None and "pools" in given:
        yield f"model ({model.origin}): with configured pools, name the model in its pool instead"


def _is_on(item: _Given | None) -> TypeGuard[_Given]:
    return item is not None and item.value is True


def _unknown_variables(environ: Mapping[str, str]) -> Iterable[str]:
    ours = {name for variable in variables().values() for name in variable.names}
    known = ours | NOT_SERVED_YET | OF_OTHERS
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIXES) and name not in known and not is_service_link(name, value):
            yield f"{name} (environment): no program of llama-orch reads it{nearest(name, known)}"


def _problem(details: Mapping[str, Any], given: _Layer) -> str:
    """Turn one of pydantic's findings into a sentence that names setting and source."""
    location = details["loc"]
    message = str(details["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    field = str(location[0])
    place = ".".join(str(part) for part in location)
    origin = given[field].origin if field in given else DEFAULT
    if details["type"] == "extra_forbidden":
        return (
            f"{place} ({origin}): unknown key{nearest(str(location[-1]), PoolConfig.model_fields)}"
        )
    secret = field == "api_tokens"
    shown = (
        ""
        if secret or isinstance(details["input"], dict | BaseModel | SecretStr)
        else (f", got {details['input']!r}")
    )
    return f"{place} ({origin}): {message}{shown}"
