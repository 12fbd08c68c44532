import pytest
from pydantic import BaseModel, ValidationError

from node_types import GpuInfo, NodeCapabilities, NodeInfo
from node_types.testing import examples


def changed(model: type[BaseModel], **fields: object) -> dict[str, object]:
    return examples(model)[0].model_dump(mode="json", by_alias=True) | fields


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (GpuInfo, "device_id", -1),
        (GpuInfo, "uuid", ""),
        (GpuInfo, "vram_total_bytes", -1),
        (GpuInfo, "compute_capability", "8"),
        (GpuInfo, "compute_capability", "٨.٩"),
        (NodeCapabilities, "cpu_cores", 0),
        (NodeCapabilities, "gpus", [{}]),
        (NodeInfo, "node_id", "Upper"),
        (NodeInfo, "node_id", "a" * 64),
        (NodeInfo, "node_id", "a\n"),
        (NodeInfo, "node_id", "../etc"),
        (NodeInfo, "status", "happy"),
        (NodeInfo, "labels", {"": "x"}),
        (NodeInfo, "labels", {"zone": "x" * 256}),
        (NodeInfo, "address", None),
    ],
)
def test_what_is_not_valid_is_refused_and_its_field_is_named(
    model: type[BaseModel], field: str, value: object
) -> None:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(changed(model, **{field: value}))
    assert {detail["loc"][0] for detail in refusal.value.errors()} == {field}


@pytest.mark.parametrize("model", [GpuInfo, NodeCapabilities, NodeInfo])
def test_a_message_without_its_required_fields_is_refused(model: type[BaseModel]) -> None:
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    with pytest.raises(ValidationError) as refusal:
        model.model_validate({})
    assert {detail["loc"][0] for detail in refusal.value.errors()} == required
