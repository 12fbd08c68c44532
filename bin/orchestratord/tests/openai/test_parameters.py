"""Every parameter of the upstream API has a fate, and the fate is what happens."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from openai.types import completion_create_params as completion
from openai.types import embedding_create_params as embedding
from openai.types.chat import completion_create_params as chat
from openapi_spec_validator import validate
from schemathesis.core import NotSet

from api_types import ROUTES, ApiError, Route, openapi_document, parse_json
from orchestratord.openai import V1_ROUTES
from orchestratord.openai.fates import Refused
from orchestratord.openai.parameters import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    RerankRequest,
    StreamOptions,
)
from orchestratord.openai.tables import fates_of, tables

DOCUMENT = openapi_document("1", (*ROUTES, *V1_ROUTES))
GENERATED = "<!-- generated: parameters -->\n\n"

MINIMAL: dict[type[Any], dict[str, Any]] = {
    ChatRequest: {"messages": [{"role": "user", "content": "x"}]},
    CompletionRequest: {"prompt": "x"},
    EmbeddingRequest: {"input": "x"},
    RerankRequest: {"query": "x", "documents": ["x"]},
}
REFUSED = [
    (model, name, fate)
    for model in MINIMAL
    for name, fate in fates_of(model).items()
    if isinstance(fate, Refused) and "." not in name
]


def read(model: type[Any], **more: Any) -> Any:
    return parse_json(model, json.dumps(MINIMAL[model] | more).encode())


@pytest.mark.parametrize(
    ("upstream", "model"),
    [
        (chat.CompletionCreateParamsBase, ChatRequest),
        (completion.CompletionCreateParamsBase, CompletionRequest),
        (embedding.EmbeddingCreateParams, EmbeddingRequest),
    ],
)
def test_every_parameter_of_the_upstream_api_has_a_fate(upstream: Any, model: type[Any]) -> None:
    named = set(upstream.__annotations__)
    assert named <= set(fates_of(model))
    ours = {name for name, fate in fates_of(model).items() if fate.kind == "ours"}
    assert not named & ours


def test_the_table_in_the_documents_is_the_one_of_the_code() -> None:
    path = Path(__file__).parents[4] / "docs" / "openai.md"
    before, mark, table = path.read_text(encoding="utf-8").partition(GENERATED)
    assert mark
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(before + mark + tables(), encoding="utf-8")
        return
    assert table == tables(), "run with UPDATE_GOLDEN=1 and commit the difference"


@pytest.mark.parametrize(("model", "name", "fate"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_refused_is_refused_by_name_unless_it_asks_for_nothing(
    model: type[Any], name: str, fate: Refused
) -> None:
    for wrong in ("something", 7, True, ["x"], {"a": 1}):
        with pytest.raises(ApiError, match=f"^{name}: cannot be honoured here: ") as caught:
            read(model, **{name: wrong})
        assert fate.note in caught.value.message
    for harmless in (None, *fate.harmless):
        assert read(model, **{name: harmless})


def test_padding_of_chunks_is_refused() -> None:
    with pytest.raises(ApiError, match="include_obfuscation"):
        read(ChatRequest, stream=True, stream_options={"include_obfuscation": True})
    options = read(ChatRequest, stream_options={"include_obfuscation": False}).stream_options
    assert options == StreamOptions(include_obfuscation=False)


@pytest.mark.parametrize("model", MINIMAL)
def test_an_unknown_parameter_is_answered_with_the_nearest(model: type[Any]) -> None:
    with pytest.raises(ApiError, match="modle: there is no such field") as caught:
        read(model, modle="x")
    assert caught.value.candidates == ("model",)


@pytest.mark.parametrize(
    ("model", "name"), [(EmbeddingRequest, "input"), (CompletionRequest, "prompt")]
)
@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]]], ids=str)
def test_token_ids_are_refused_in_one_sentence(model: type[Any], name: str, ids: Any) -> None:
    with pytest.raises(ApiError) as caught:
        read(model, **{name: ids})
    assert caught.value.message.startswith(f"{name}: token ids cannot be honoured here")
    assert ";" not in caught.value.message


def test_the_document_with_all_routes_is_valid() -> None:
    validate(DOCUMENT)


@pytest.mark.parametrize(
    "route", [r for r in V1_ROUTES if r.request], ids=lambda route: route.operation_id
)
@given(data=st.data())
def test_a_body_that_the_document_calls_valid_is_read(route: Route, data: st.DataObject) -> None:
    described = schemathesis.openapi.from_dict(DOCUMENT)[route.path][route.method]
    body = data.draw(described.as_strategy()).body
    if not isinstance(body, NotSet):
        assert route.request is not None
        parse_json(route.request, json.dumps(body).encode())
