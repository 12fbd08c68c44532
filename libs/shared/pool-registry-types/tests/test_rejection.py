import pytest
from pydantic import BaseModel, ValidationError

from node_types.testing import examples
from pool_registry_types import (
    HandoffPayload,
    HealthStatus,
    ModelReport,
    PoolMetadata,
    PoolSnapshot,
    ReplicaSnapshot,
)


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (HealthStatus, "state", "fine"),
        (ReplicaSnapshot, "slots_free", -1),
        (ReplicaSnapshot, "pid", 0),
        (ReplicaSnapshot, "model_digest", "sha256:short"),
        (PoolMetadata, "slots", 0),
        (PoolSnapshot, "pool_id", "a/b"),
        (PoolSnapshot, "replicas", [{"replica_id": "r0"}]),
        (ModelReport, "state", "active"),
        (HandoffPayload, "schema", 0),
        (HandoffPayload, "replica_id", ""),
        (HandoffPayload, "slots", 0),
        (HandoffPayload, "pid", -1),
        (HandoffPayload, "model", None),
    ],
)
def test_what_is_not_valid_is_refused_and_its_field_is_named(
    model: type[BaseModel], field: str, value: object
) -> None:
    message = examples(model)[0].model_dump(mode="json", by_alias=True) | {field: value}
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(message)
    assert {detail["loc"][0] for detail in refusal.value.errors()} == {field}


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.7:8080",
        "http://127.0.0.1.evil.example:8080",
        "http://localhost:8080/path",
        "https://127.0.0.1:8080",
        "http://user@127.0.0.1:8080",
        "http://127.0.0.1",
    ],
)
def test_a_handoff_may_name_an_engine_on_the_loopback_only(url: str) -> None:
    message = examples(HandoffPayload)[0].model_dump(mode="json", by_alias=True) | {"url": url}
    with pytest.raises(ValidationError, match="url"):
        HandoffPayload.model_validate(message)
