import pytest
from pydantic import BaseModel, ValidationError

from node_types.testing import examples
from service_discovery_types import (
    CallbackRegistration,
    HeartbeatRequest,
    NodeMessage,
    PoolDemand,
    PoolReadyCallback,
    RegisterRequest,
    RegisterResponse,
)


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (NodeMessage, "incarnation", "1"),
        (NodeMessage, "seq", -1),
        (NodeMessage, "node_id", "a b"),
        (RegisterRequest, "address", "node-a:9200"),
        (RegisterRequest, "address", "http://node a"),
        (RegisterRequest, "pools", ["A"]),
        (RegisterRequest, "capabilities", {}),
        (RegisterResponse, "heartbeat_interval_ms", 0),
        (HeartbeatRequest, "timestamp", "now"),
        (HeartbeatRequest, "pools", [{"pool_id": "p"}]),
        (PoolReadyCallback, "pool", None),
        (PoolDemand, "models", [{"model_id": "m", "waiting": 0, "oldest_ms": 0}]),
        (PoolDemand, "valid_ms", 0),
        (CallbackRegistration, "url", "file:///etc/passwd"),
    ],
)
def test_what_is_not_valid_is_refused_and_its_field_is_named(
    model: type[BaseModel], field: str, value: object
) -> None:
    message = examples(model)[0].model_dump(mode="json") | {field: value}
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(message)
    assert {detail["loc"][0] for detail in refusal.value.errors()} == {field}


def test_every_message_of_a_node_carries_its_incarnation_and_number() -> None:
    for model in (RegisterRequest, HeartbeatRequest, PoolReadyCallback):
        assert issubclass(model, NodeMessage)
        assert {"node_id", "incarnation", "seq"} <= set(model.model_fields)
