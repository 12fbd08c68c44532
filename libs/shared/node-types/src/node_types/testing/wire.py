"""Checks that hold the JSON form of wire types, for the tests of every package that has some."""

import json
import re
from enum import Enum
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, JsonValue, ValidationError

from node_types.testing.annotations import Constraints, read, read_field

SAMPLE_TEXTS = (
    "a-1",
    "sha256:" + "5f" * 32,
    "8.9",
    "http://127.0.0.1:41001",
    "42",
    "user",
)
"""Where a field has a pattern, its example is the first of these that fits."""
SAMPLE_UUID = UUID("2f1c8a52-6d0e-4b0a-9d4e-0c5d8f3a7b11")
UNKNOWN = "field_of_tomorrow"


def models_of(package: ModuleType) -> tuple[type[BaseModel], ...]:
    """Return the public models that a package defines itself."""
    public = (getattr(package, name) for name in package.__all__)
    return tuple(
        value
        for value in public
        if isinstance(value, type)
        and issubclass(value, BaseModel)
        and value.model_fields
        and value.__module__.split(".")[0] == package.__name__
    )


def examples(model: type[BaseModel]) -> tuple[BaseModel, ...]:
    """Return the examples of a model: those of its JSON schema, else one with every field set."""
    extra = model.model_config.get("json_schema_extra")
    if isinstance(extra, dict) and isinstance(given := extra.get("examples"), list):
        return tuple(model.model_validate_json(json.dumps(example)) for example in given)
    fields = {
        field.alias or name: _example(name, *read_field(field))
        for name, field in model.model_fields.items()
    }
    return (model(**fields),)


def check_round_trip(value: BaseModel) -> None:
    """Hold that a value comes back from its JSON as it was, also with strict types."""
    text = value.model_dump_json(by_alias=True)
    assert type(value).model_validate_json(text, strict=True) == value
    assert json.loads(text) == value.model_dump(mode="json", by_alias=True)


def check_tolerance(model: type[BaseModel]) -> None:
    """Hold that an unknown field is ignored between services, and named to a client."""
    for example in examples(model):
        message = example.model_dump(mode="json", by_alias=True) | {UNKNOWN: 1}
        text = json.dumps(message)
        if model.model_config.get("extra") == "ignore":
            assert model.model_validate_json(text) == example
            continue
        assert _refused_fields(model, text) == [(UNKNOWN,)], f"{model.__name__} takes anything"


def check_golden(model: type[BaseModel], folder: Path, *, update: bool) -> None:
    """Hold the wire form of a model's examples equal to its file in `folder`, or write the file."""
    path = folder / f"{model.__name__}.json"
    forms = [example.model_dump(mode="json", by_alias=True) for example in examples(model)]
    text = json.dumps(forms, indent=2, ensure_ascii=False) + "\n"
    if update:
        folder.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path.name} is missing: run with UPDATE_GOLDEN=1 to write it"
    assert text == path.read_text(encoding="utf-8"), (
        f"the wire form of {model.__name__} changed: if every reader of the last version can"
        " live with that, run with UPDATE_GOLDEN=1 and commit the difference"
    )
    read_back = [model.model_validate_json(json.dumps(form), strict=True) for form in forms]
    assert tuple(read_back) == examples(model)


def _refused_fields(model: type[BaseModel], text: str) -> list[tuple[int | str, ...]]:
    try:
        model.model_validate_json(text)
    except ValidationError as error:
        return [detail["loc"] for detail in error.errors()]
    return []


def _example(name: str, bare: Any, bounds: Constraints) -> Any:
    if bare is Any or bare is JsonValue:
        return {"number": 1, "list": ["text", None, True]}
    match get_origin(bare):
        case origin if origin is Union or origin is UnionType:
            choice = next(c for c in get_args(bare) if c is not NoneType)
            return _example(name, *read(choice))
        case origin if origin is Literal:
            return get_args(bare)[0]
        case origin if origin is tuple:
            return tuple(_example(name, *read(i)) for i in get_args(bare) if i is not Ellipsis)
        case origin if origin is dict:
            key, item = map(read, get_args(bare))
            return {_example("key", *key): _example(name, *item)}
    return _plain_example(name, bare, bounds)


def _plain_example(name: str, bare: type, bounds: Constraints) -> Any:
    if issubclass(bare, BaseModel):
        return examples(bare)[0]
    if issubclass(bare, Enum):
        return next(iter(bare))
    if bare is str:
        return _text(name, bounds)
    simple = {bool: True, UUID: SAMPLE_UUID, int: max(1, int(bounds.low or 0)), float: 0.5}
    return simple[bare]


def _text(name: str, bounds: Constraints) -> str:
    if bounds.pattern is None:
        return name
    return next(text for text in SAMPLE_TEXTS if re.search(bounds.pattern, text))
