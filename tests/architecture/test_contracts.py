"""Promises between two packages that may not import each other."""

from api_types import NodeView
from node_types.testing import examples
from service_discovery_types import RegisterRequest


def test_what_a_polled_node_answers_is_a_register_message():
    """`GET /v2/node` and a registration lead to the same node."""
    view = NodeView.model_validate(
        examples(NodeView)[0].model_dump() | {"address": "http://node-a:9200"}
    )
    message = RegisterRequest.model_validate_json(view.model_dump_json())
    assert set(RegisterRequest.model_fields) <= set(NodeView.model_fields)
    assert message.model_dump() == view.model_dump(include=set(RegisterRequest.model_fields))
