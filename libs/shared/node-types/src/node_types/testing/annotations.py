"""What an annotation of a model says about its values, read once for strategies and examples."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_args, get_origin

import annotated_types as at
from pydantic import StringConstraints
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Constraints:
    """The bounds of a value; None: no bound."""

    low: float | None = None
    high: float | None = None
    low_excluded: bool = False
    high_excluded: bool = False
    min_length: int = 0
    max_length: int | None = None
    pattern: str | None = None


def read(annotation: Any) -> tuple[Any, Constraints]:
    """Return the bare type of an annotation, and its constraints."""
    if get_origin(annotation) is Annotated:
        bare, *metadata = get_args(annotation)
        return bare, constraints_of(metadata)
    return annotation, Constraints()


def read_field(field: FieldInfo) -> tuple[Any, Constraints]:
    """Return the bare type of a field, and its constraints."""
    bare, inner = read(field.annotation)
    return bare, constraints_of(field.metadata, inner)


def constraints_of(metadata: Iterable[Any], known: Constraints = Constraints()) -> Constraints:
    """Return `known` with what the metadata of an annotation adds."""
    for item in metadata:
        match item:
            case FieldInfo():
                known = constraints_of(item.metadata, known)
            case at.Ge():
                known = replace(known, low=_number(item.ge))
            case at.Gt():
                known = replace(known, low=_number(item.gt), low_excluded=True)
            case at.Le():
                known = replace(known, high=_number(item.le))
            case at.Lt():
                known = replace(known, high=_number(item.lt), high_excluded=True)
            case at.MinLen():
                known = replace(known, min_length=item.min_length)
            case at.MaxLen():
                known = replace(known, max_length=item.max_length)
            case StringConstraints():
                pattern = item.pattern
                known = replace(
                    known,
                    min_length=item.min_length or known.min_length,
                    max_length=known.max_length if item.max_length is None else item.max_length,
                    pattern=known.pattern if pattern is None else str(pattern),
                )
            case _ if isinstance(getattr(item, "pattern", None), str):
                known = replace(known, pattern=item.pattern)
            case _:
                pass  # a validator, or a note for readers
    return known


def _number(bound: Any) -> float:
    if not isinstance(bound, int | float):
        raise TypeError(f"a bound should be a number, not {type(bound).__name__}")
    return bound
