"""Hypothesis strategies for pydantic models, made of the constraints of their fields."""

import re
from enum import Enum
from math import ceil, floor
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue

from node_types.testing.annotations import Constraints, read, read_field

M = TypeVar("M", bound=BaseModel)

EXACT_INT_MAX = 2**53 - 1
"""Above it JSON readers that know only doubles lose digits."""
ITEMS_MAX = 3
TEXT_MAX = 24


def instances(model: type[M], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[M]:
    """Return a strategy of valid `model`s; a field given here is always set, and from there.

    Nested models come from `hypothesis.strategies.from_type`, so that a model whose fields depend
    on each other can be registered with a strategy of its own.
    """
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        where = required if field.is_required() or name in fields else optional
        strategy = fields[name] if name in fields else _values(*read_field(field))
        where[field.alias or name] = strategy
    return st.fixed_dictionaries(required, optional=optional).map(lambda given: model(**given))


def register(*models: type[BaseModel]) -> None:
    """Tell hypothesis's `from_type` how to make these models."""
    for model in models:
        st.register_type_strategy(model, instances(model))


def of_model(model: type[M]) -> st.SearchStrategy[M]:
    """Return the strategy that `from_type` has for a model, built by now or not."""
    model.model_rebuild()  # Until then the signature is empty by which hypothesis goes.
    return st.from_type(model)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of what an annotation of pydantic allows."""
    return _values(*read(annotation))


def json_values() -> st.SearchStrategy[Any]:
    """Return a strategy of small JSON values."""
    leaves = st.none() | st.booleans() | values(int) | values(float) | values(str)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=ITEMS_MAX)
            | st.dictionaries(values(str), inner, max_size=ITEMS_MAX)
        ),
        max_leaves=5,
    )


def _values(bare: Any, bounds: Constraints) -> st.SearchStrategy[Any]:
    if bare is Any or bare is JsonValue:
        return json_values()
    match get_origin(bare):
        case origin if origin is Union or origin is UnionType:
            return st.one_of([values(choice) for choice in get_args(bare)])
        case origin if origin is Literal:
            return st.sampled_from(get_args(bare))
        case origin if origin is tuple:
            return _tuples(get_args(bare), bounds)
        case origin if origin is dict:
            keys, items = map(values, get_args(bare))
            return st.dictionaries(
                keys, items, min_size=bounds.min_length, max_size=_size_max(bounds, ITEMS_MAX)
            )
        case None if isinstance(bare, type):
            return _plain(bare, bounds)
    raise TypeError(f"no strategy is known for {bare!r}")


def _plain(bare: type, bounds: Constraints) -> st.SearchStrategy[Any]:
    if issubclass(bare, Enum):
        return st.sampled_from(bare)
    if issubclass(bare, BaseModel):
        return st.deferred(lambda: of_model(bare))  # it may be registered later
    if bare is str:
        return _texts(bounds)
    if bare is int:
        return _integers(bounds)
    if bare is float:
        return st.floats(
            bounds.low,
            bounds.high,
            exclude_min=bounds.low_excluded,
            exclude_max=bounds.high_excluded,
            allow_nan=False,
            allow_infinity=False,
        )
    simple = {bool: st.booleans(), UUID: st.uuids(), NoneType: st.none()}
    if bare not in simple:
        raise TypeError(f"no strategy is known for {bare!r}")
    return simple[bare]


def _integers(bounds: Constraints) -> st.SearchStrategy[int]:
    low = -EXACT_INT_MAX if bounds.low is None else ceil(bounds.low) + bounds.low_excluded
    high = EXACT_INT_MAX if bounds.high is None else floor(bounds.high) - bounds.high_excluded
    return st.integers(low, high)


def _texts(bounds: Constraints) -> st.SearchStrategy[str]:
    if bounds.pattern is None:
        return st.text(min_size=bounds.min_length, max_size=_size_max(bounds, TEXT_MAX))
    # Python's `$` also stands before a last line break; pydantic's does not.
    pattern = re.compile(re.sub(r"\$$", r"\\Z", bounds.pattern), re.ASCII)
    return st.from_regex(pattern, fullmatch=True)


def _tuples(items: tuple[Any, ...], bounds: Constraints) -> st.SearchStrategy[tuple[Any, ...]]:
    if items[-1] is not Ellipsis:
        return st.tuples(*map(values, items))
    size_max = _size_max(bounds, ITEMS_MAX)
    return st.lists(values(items[0]), min_size=bounds.min_length, max_size=size_max).map(tuple)


def _size_max(bounds: Constraints, usual: int) -> int:
    return max(
        bounds.min_length, usual if bounds.max_length is None else min(usual, bounds.max_length)
    )
