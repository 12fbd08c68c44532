"""The fields that several requests share."""

from math import isfinite
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StringConstraints


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Lets an integer be written as `8.0`, as JSON allows."""
Text = Annotated[str, StringConstraints(min_length=1)]
PositiveMs = Annotated[int, Field(ge=1, le=86_400_000), WHOLE]
PoolName = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9._-]{0,62}:)?[a-z0-9][a-z0-9._-]{0,62}$")
]
"""A pool id, alone where it is unique, else `node_id:pool_id`."""
ModelRefText = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
SessionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=63)]
LabelValue = Annotated[str, StringConstraints(max_length=255)]


def only_true_or_false(value: object) -> object:
    """Refuse what else could be read as a switch of a query: 1, yes, on."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("should be true or false")
    return value


def _finite(value: JsonValue) -> JsonValue:
    match value:
        case float() if not isfinite(value):
            raise ValueError("NaN and infinite numbers are no JSON")
        case list():
            for item in value:
                _finite(item)
        case dict():
            for item in value.values():
                _finite(item)
    return value


FiniteJson = Annotated[JsonValue, AfterValidator(_finite)]
"""Any JSON; its depth is bounded by the parser."""
