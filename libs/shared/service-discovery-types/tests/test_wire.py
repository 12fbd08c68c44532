"""The wire form of every public type.

`UPDATE_GOLDEN=1 pytest libs/shared/service-discovery-types` writes the golden files anew.
"""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import service_discovery_types
import service_discovery_types.testing
from node_types.testing import check_golden, check_round_trip, check_tolerance, examples, models_of

GOLDEN = Path(__file__).parent / "golden"
MODELS = models_of(service_discovery_types)

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


@every_model
@given(data=st.data())
def test_a_value_comes_back_from_its_json_as_it_was(
    model: type[BaseModel], data: st.DataObject
) -> None:
    check_round_trip(data.draw(st.from_type(model)))


@every_model
def test_the_wire_form_is_the_golden_one(model: type[BaseModel]) -> None:
    check_golden(model, GOLDEN, update="UPDATE_GOLDEN" in os.environ)


def test_no_golden_file_is_left_of_a_type_that_is_gone() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {model.__name__ for model in MODELS}


@every_model
def test_an_unknown_field_is_ignored_from_services_and_refused_from_clients(
    model: type[BaseModel],
) -> None:
    check_tolerance(model)


@every_model
def test_a_value_cannot_be_changed(model: type[BaseModel]) -> None:
    value = examples(model)[0]
    name = next(iter(model.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, getattr(value, name))


@every_model
def test_no_field_is_a_list_or_a_set(model: type[BaseModel]) -> None:
    held = examples(model)[0].__dict__.values()
    assert not any(isinstance(value, list | set) for value in held)


def test_all_names_every_public_name_once_and_sorted() -> None:
    names = service_discovery_types.__all__
    constants = sorted(name for name in names if name.isupper())
    classes = sorted(name for name in names if name[0].isupper() and not name.isupper())
    functions = sorted(name for name in names if name[0].islower())
    assert names == [*constants, *classes, *functions]
    assert all(hasattr(service_discovery_types, name) for name in names)
