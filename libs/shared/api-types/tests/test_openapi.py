import json
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis.core import NotSet

from api_types import (
    EVENT_TYPES,
    HTTP_STATUS,
    PATH_PARAMETERS,
    ROUTES,
    Route,
    openapi_document,
    parse_json,
)

DOCUMENT = openapi_document("1.2.3")

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower()]
    return found


def test_the_document_is_valid_openapi_3_1() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["version"] == "1.2.3"


def test_the_document_is_plain_json_and_the_same_each_time() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT == openapi_document("1.2.3")


def test_the_document_has_the_routes_of_the_table_and_no_others() -> None:
    described = {(m.upper(), path) for path, ops in DOCUMENT["paths"].items() for m in ops}
    assert described == {(route.method, route.path) for route in ROUTES}


def test_no_route_and_no_operation_id_stands_twice() -> None:
    assert max(Counter((route.method, route.path) for route in ROUTES).values()) == 1
    assert max(Counter(route.operation_id for route in ROUTES).values()) == 1


@every_route
def test_every_path_parameter_is_described(route: Route) -> None:
    named = [p["name"] for p in operation(route)["parameters"] if p["in"] == "path"]
    assert named == list(route.path_parameters)
    assert set(named) <= set(PATH_PARAMETERS)


@every_route
def test_every_query_field_is_a_parameter(route: Route) -> None:
    named = {p["name"] for p in operation(route)["parameters"] if p["in"] == "query"}
    assert named == set(route.query.model_fields if route.query else ())


@every_route
def test_every_answer_and_every_error_is_described(route: Route) -> None:
    responses = operation(route)["responses"]
    answers = {str(answer.status) for answer in route.answers}
    errors = {str(HTTP_STATUS[code]) for code in route.all_errors}
    assert set(responses) == answers | errors
    for answer in route.answers:
        content = responses[str(answer.status)].get("content", {})
        assert (answer.content_type is None and not content) or answer.content_type in content
    listed = json.dumps(responses)
    assert all(f'"{code}"' in listed for code in route.all_errors)


def test_streams_name_the_models_of_their_frames() -> None:
    media = DOCUMENT["paths"]["/v2/tasks"]["post"]["responses"]["200"]["content"]
    assert set(media["text/event-stream"]["x-events"]) == set(EVENT_TYPES)


def test_every_reference_leads_somewhere_and_no_schema_is_without_use() -> None:
    text = json.dumps(DOCUMENT)
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used == set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.request], ids=lambda route: route.operation_id
)
@given(data=st.data())
def test_a_body_that_the_document_calls_valid_is_read(route: Route, data: st.DataObject) -> None:
    described = schemathesis.openapi.from_dict(DOCUMENT)[route.path][route.method]
    body = data.draw(described.as_strategy()).body
    if not isinstance(body, NotSet):
        assert route.request is not None
        parse_json(route.request, json.dumps(body).encode())
