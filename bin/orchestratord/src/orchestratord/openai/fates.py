"""What becomes of a parameter of the upstream API, written where the parameter is declared.

Validation, the OpenAPI document and the table in docs/openai.md are all made of these marks.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

Kind = Literal["passed on", "translated", "accepted", "refused", "ours"]
"""`ours` is a parameter that the upstream API does not have."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a parameter, and why or how."""

    kind: Kind
    note: str = ""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Tell it in the OpenAPI document."""
        described = handler(schema)
        text = f"{self.kind.capitalize()}: {self.note}" if self.note else self.kind.capitalize()
        return {**described, "description": f"{text}."}


PASSED = Fate("passed on")


@dataclass(frozen=True, slots=True)
class Refused(Fate):
    """A parameter that cannot be honoured; only values without effect get through."""

    kind: Kind = "refused"
    harmless: tuple[object, ...] = ()
    """The values besides null that ask for nothing."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Refuse everything else by the name of the parameter."""
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def _check(self, value: object) -> object:
        if value is None or any(type(value) is type(h) and value == h for h in self.harmless):
            return value
        raise ValueError(f"this parameter cannot be honoured here: {self.note}")
