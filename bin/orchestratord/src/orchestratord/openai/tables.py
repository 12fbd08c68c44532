"""The tables of docs/openai.md, made of the declarations of the parameters."""

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestratord.openai.fates import Fate, Refused
from orchestratord.openai.routes import V1_ROUTES

NESTED = ("stream_options",)
"""Parameters whose own fields have fates."""


def tables() -> str:
    """Return one table for each route that takes a body."""
    return "\n".join(
        f"### {route.path}\n\n{parameter_table(route.request)}"
        for route in V1_ROUTES
        if route.request is not None
    )


def parameter_table(model: type[BaseModel]) -> str:
    """Return the parameters of a request in alphabetical order, each with its fate."""
    rows = sorted(_rows(model))
    lines = [f"| `{name}` | {_told(fate)} | {fate.note} |" for name, fate in rows]
    return "\n".join(["| parameter | fate | how, or why |", "|---|---|---|", *lines, ""])


def fates_of(model: type[BaseModel]) -> dict[str, Fate]:
    """Return what becomes of each parameter of a request."""
    return dict(_rows(model))


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Fate]]:
    for name, field in model.model_fields.items():
        yield prefix + name, _fate(field)
        if name in NESTED:
            for inner in _models_in(field):
                yield from _rows(inner, f"{name}.")


def _told(fate: Fate) -> str:
    if isinstance(fate, Refused) and fate.harmless:
        return f"{fate.kind} unless {' or '.join(f'`{json.dumps(h)}`' for h in fate.harmless)}"
    return fate.kind


def _fate(field: FieldInfo) -> Fate:
    (fate,) = (mark for mark in field.metadata if isinstance(mark, Fate))
    return fate


def _models_in(field: FieldInfo) -> Iterator[type[BaseModel]]:
    for part in getattr(field.annotation, "__args__", ()):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part
