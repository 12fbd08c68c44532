"""The checks that other packages rely on fail when they should."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter

from node_types import ClientModel, GpuInfo, ServiceModel
from node_types.testing import (
    check_golden,
    check_round_trip,
    check_tolerance,
    examples,
    instances,
    values,
)

ANNOTATIONS: tuple[Any, ...] = (
    int,
    Annotated[int, Field(ge=3, lt=5)],
    Annotated[int, Field(gt=3, le=5)],
    Annotated[float, Field(gt=0, le=1)],
    Annotated[str, StringConstraints(min_length=2, max_length=3)],
    Annotated[str, StringConstraints(pattern=r"^[0-9]{2}$")],
    Annotated[tuple[int, ...], Field(min_length=2, max_length=2)],
    tuple[int, str],
    dict[str, bool] | None,
    Annotated[dict[str, int], Field(min_length=1)],
)


class Loose(ClientModel):
    model_config = ConfigDict(extra="allow")

    name: str


class Forgetful(ServiceModel):
    name: str = Field(exclude=True, default="unset")


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
@given(data=st.data())
def test_a_value_keeps_to_the_constraints_of_its_annotation(
    annotation: Any, data: st.DataObject
) -> None:
    TypeAdapter(annotation).validate_python(data.draw(values(annotation)))


@given(instances(GpuInfo, device_id=st.just(7)))
def test_a_field_can_be_given(gpu: GpuInfo) -> None:
    assert gpu.device_id == 7


def test_an_annotation_that_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="no strategy is known"):
        values(list[int])


def test_an_example_has_every_field_set() -> None:
    (example,) = examples(GpuInfo)
    assert example.model_fields_set == set(GpuInfo.model_fields)


def test_a_missing_golden_file_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="UPDATE_GOLDEN=1"):
        check_golden(GpuInfo, tmp_path, update=False)


def test_a_changed_wire_form_is_noticed(tmp_path: Path) -> None:
    check_golden(GpuInfo, tmp_path, update=True)
    path = tmp_path / "GpuInfo.json"
    path.write_text(path.read_text().replace("device_id", "device"))
    with pytest.raises(AssertionError, match="the wire form of GpuInfo changed"):
        check_golden(GpuInfo, tmp_path, update=False)


def test_a_model_that_takes_anything_is_noticed() -> None:
    with pytest.raises(AssertionError, match="Loose takes anything"):
        check_tolerance(Loose)


def test_a_field_that_is_lost_on_the_wire_is_noticed() -> None:
    with pytest.raises(AssertionError):
        check_round_trip(Forgetful(name="set"))
