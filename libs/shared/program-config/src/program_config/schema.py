"""What the loader has to know about one program."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from program_config.variables import Variable

PROGRAM_TABLES = frozenset({"orchestratord", "pool_managerd", "engine_provisionerd"})
"""A file may serve several programs: settings of one of them alone stand in its own table."""


class ProgramSettings(BaseSettings):
    """Base of a program's settings: what `load` has read is their only source.

    A field's name is its key in the file and, with dashes, its option on the command line.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load` has read: it knows aliases that contradict and names each source."""
        return (init_settings,)


S = TypeVar("S", bound=ProgramSettings)


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and in words where it stood."""

    value: Any
    origin: str


Layer: TypeAlias = Mapping[str, Given]
"""What one source gives: setting → value."""


def _as_it_is(layer: Layer, _problems: list[str]) -> Layer:
    return layer


def _nothing(_given: Layer) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema(Generic[S]):
    """The settings of one program and its own rules about them."""

    program: str
    settings: type[S]
    file_only: frozenset[str] = frozenset()
    """No options: a list of tables does not fit on a command line, a secret shows in `ps`."""
    secret: frozenset[str] = frozenset()
    """Never shown."""
    items: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """Setting → the model of its tables, for the nearest name of an unknown key."""
    not_served: frozenset[str] = frozenset()
    """Variables that this version cannot honour: set, they are an error.

    Silence would be worse than refusal: whoever sets API keys believes the door is locked.
    """
    elsewhere: frozenset[str] = frozenset()
    """Keys at the top of a file that are another program's business."""
    complete: Callable[[Layer, list[str]], Layer] = _as_it_is
    """Adds to one source what its values imply; appends problems."""
    contradictions: Callable[[Layer], Iterable[str]] = _nothing
    """Finds values that are each right and cannot stand together."""

    @property
    def table(self) -> str:
        """The program's own table in a file that serves several."""
        return self.program.replace("-", "_")

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Each setting's environment variable."""
        return MappingProxyType(
            {
                name: marker
                for name, info in self.settings.model_fields.items()
                for marker in info.metadata
                if isinstance(marker, Variable)
            }
        )
