"""The OpenAPI document of the API, generated from the table of routes and the types."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from api_types.errors import HTTP_STATUS, ErrorCode
from api_types.events import EVENT_TYPES, GRAMMAR
from api_types.routes import PATH_PARAMETERS, ROUTES
from api_types.routing import EVENT_STREAM, JSON, Answer, Header, Route

Schema = dict[str, Any]
_REF = "#/components/schemas/{model}"

_DESCRIPTION = """\
Every answer carries `X-Correlation-Id`. An unknown field of a request is an error that names it.
Answers with the status 429 carry `Retry-After` and `X-Backoff-Ms`."""


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that only repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def openapi_document(version: str, routes: Sequence[Route] = ROUTES) -> Schema:
    """Return the OpenAPI 3.1 document of routes, of all in the contract if not told otherwise.

    The caller owns it.
    """
    refs, definitions = _schemas(routes)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            route, refs, definitions
        )
    for model in {route.query for route in routes if route.query is not None}:
        del definitions[model.__name__]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "llama-orch",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {"schemas": definitions},
    }


def _schemas(
    routes: Sequence[Route],
) -> tuple[dict[type[BaseModel], Schema], dict[str, Schema]]:
    """Return a reference for each model of the routes, and what the references name."""
    asked: dict[type[BaseModel], Literal["validation", "serialization"]] = {}
    asked.update(dict.fromkeys(EVENT_TYPES.values(), "serialization"))
    for route in routes:
        asked[route.error_body] = "serialization"
        asked.update({m: "validation" for m in (route.query, route.request) if m is not None})
        asked.update({a.model: "serialization" for a in route.answers if a.model is not None})
    refs, top = models_json_schema(
        list(asked.items()), ref_template=_REF, schema_generator=_Untitled
    )
    return {model: refs[model, mode] for model, mode in asked.items()}, dict(top["$defs"])


def _operation(
    route: Route, refs: dict[type[BaseModel], Schema], definitions: dict[str, Schema]
) -> Schema:
    operation: Schema = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": list(_parameters(route, definitions)),
        "responses": _responses(route, refs),
    }
    if route.request is not None:
        operation["requestBody"] = {
            "required": route.request_required,
            "content": {JSON: {"schema": refs[route.request]}},
        }
    return operation


def _parameters(route: Route, definitions: dict[str, Schema]) -> Iterator[Schema]:
    for name in route.path_parameters:
        type_, description = PATH_PARAMETERS[name]
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": _simple(type_),
        }
    if route.query is not None:
        schema = definitions[route.query.__name__]
        for name, field in schema["properties"].items():
            yield {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": _without_null(field),
            }
    for header in route.headers:
        yield {"name": header.name, "in": "header", **_header(header)}


def _responses(route: Route, refs: dict[type[BaseModel], Schema]) -> Schema:
    responses: dict[str, Schema] = {}
    for answer in route.answers:
        response = responses.setdefault(str(answer.status), {"description": answer.description})
        if answer.headers:
            response["headers"] = {h.name: _header(h) for h in answer.headers}
        if answer.content_type is not None:
            response.setdefault("content", {})[answer.content_type] = _content(answer, refs)
    for status, codes in groupby(sorted(route.all_errors, key=_by_status), HTTP_STATUS.__getitem__):
        listed = [str(code) for code in codes]
        schema: Schema = {"enum": listed}
        for name in reversed(route.error_code_at):
            schema = {"properties": {name: schema}}
        _add_error(responses, status, listed, {"allOf": [refs[route.error_body]], **schema})
    return dict(sorted(responses.items()))


def _by_status(code: ErrorCode) -> tuple[int, str]:
    return HTTP_STATUS[code], code


def _add_error(responses: dict[str, Schema], status: int, codes: list[str], schema: Schema) -> None:
    existing = responses.get(str(status))
    if existing is None:
        responses[str(status)] = {
            "description": f"{_phrase(status)}: {', '.join(codes)}.",
            "content": {JSON: {"schema": schema}},
        }
    else:
        content = existing["content"][JSON]
        content["schema"] = {"anyOf": [content["schema"], schema]}


def _phrase(status: int) -> str:
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase


def _content(answer: Answer, refs: dict[type[BaseModel], Schema]) -> Schema:
    if answer.model is not None:
        return {"schema": refs[answer.model]}
    if answer.content_type == EVENT_STREAM and answer.native_events:
        events = {name: refs[model] for name, model in EVENT_TYPES.items()}
        return {"schema": _event(list(events)), "x-grammar": GRAMMAR, "x-events": events}
    if answer.content_type == EVENT_STREAM:
        return {"schema": {"type": "object", "properties": {"data": {"type": "string"}}}}
    return {"schema": {"type": "object" if answer.content_type == JSON else "string"}}


def _event(names: list[str]) -> Schema:
    """Describe one event of a stream, as OpenAPI 3.2 has it: an object of its fields."""
    return {
        "type": "object",
        "required": ["id", "event", "data"],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$"},
            "event": {"enum": names},
            "data": {"type": "string", "contentMediaType": JSON},
        },
    }


def _header(header: Header) -> Schema:
    return {"description": header.description, "schema": _simple(header.type_)}


def _simple(type_: Any) -> Schema:
    return dict(TypeAdapter(type_).json_schema(schema_generator=_Untitled))


def _without_null(schema: Schema) -> Schema:
    """Return the schema of a query parameter: one that is not given is absent, not null."""
    kept = {k: v for k, v in schema.items() if k != "anyOf" and not (k == "default" and v is None)}
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return {**kept, **(choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})}
