"""What becomes of a parameter of the upstream API, written where the parameter is declared.

Validation, the OpenAPI document and the table in docs/openai.md are all made of these marks.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a parameter, and how or why."""

    note: str = ""
    kind: ClassVar[str]

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Tell it in the OpenAPI document."""
        kind = self.kind.capitalize()
        return {**handler(schema), "description": f"{kind}: {self.note}." if self.note else kind}


@dataclass(frozen=True, slots=True)
class Passed(Fate):
    """The engine is told the same."""

    kind = "passed on"


@dataclass(frozen=True, slots=True)
class Translated(Fate):
    """It is honoured in another form."""

    kind = "translated"


@dataclass(frozen=True, slots=True)
class Accepted(Fate):
    """It has no effect, and need not have one for the answer to be right."""

    kind = "accepted"


@dataclass(frozen=True, slots=True)
class Ours(Fate):
    """The upstream API does not have it; the engine is told the same."""

    kind = "ours"


@dataclass(frozen=True, slots=True)
class Refused(Fate):
    """It cannot be honoured; only values that ask for nothing get through."""

    harmless: tuple[object, ...] = ()
    """Those values, besides null."""
    kind = "refused"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Refuse everything else by the name of the parameter."""
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def _check(self, value: object) -> object:
        if value is None or any(type(value) is type(h) and value == h for h in self.harmless):
            # Strict types take no list for a tuple any more once Python has seen it.
            return tuple(value) if isinstance(value, list) else value
        raise ValueError(f"cannot be honoured here: {self.note}")
