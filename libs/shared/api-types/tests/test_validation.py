import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api_types import (
    ApiError,
    ArtifactRequest,
    ErrorCode,
    EventsQuery,
    TaskQuery,
    TaskRequest,
    TaskState,
    parse_json,
    parse_query,
    problem,
)
from api_types.testing import json_values, task_requests


def refusal(body: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse_json(TaskRequest, json.dumps(body).encode())
    assert caught.value.code is ErrorCode.INVALID_PARAMS
    return caught.value


@given(task_requests())
def test_what_a_valid_request_says_is_what_is_read(request: TaskRequest) -> None:
    assert parse_json(TaskRequest, request.model_dump_json().encode()) == request


@given(st.binary(max_size=64) | json_values().map(json.dumps).map(str.encode))
def test_any_body_is_read_or_refused_with_a_reason(raw: bytes) -> None:
    with suppress(ApiError):
        parse_json(TaskRequest, raw)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": 5}, "prompt: input should be a valid string, got 5"),
        ({"prompt": "x", "seed": "5"}, "seed: input should be a valid integer, got a string"),
        ({"prompt": "x", "task_id": "7"}, "task_id: should be a UUID, got a string"),
        ({"prompt": "x", "sampling": {"top_p": 2}}, "sampling.top_p: input should be less than"),
        ({"prompt": "x", "priority": "high"}, "priority: input should be 'interactive' or 'batch'"),
        ({"messages": [{"content": "x"}]}, "messages[0].role: this field is required"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content: input should be"),
        ({"prompt": "x", "labels": {"str": 5}}, "labels.str: input should be a valid string"),
        ({"prompt": "x", "tools": []}, "tools need messages"),
        ({}, "exactly one of prompt, messages and inputs must be given, not none of them"),
        ({"prompt": "x", "inputs": ["y"]}, "not prompt and inputs"),
        ([], "input should be an object, got a list of 0"),
    ],
)
def test_the_reason_names_the_field_what_is_allowed_and_what_came(
    body: object, message: str
) -> None:
    assert message in refusal(body).message


def test_all_that_is_wrong_is_named_at_once_up_to_a_bound() -> None:
    message = refusal({f"field_{n}": n for n in range(20)}).message
    assert message.count("there is no such field") == 8
    assert message.endswith("and 12 more")


@pytest.mark.parametrize(
    ("body", "nearest"),
    [
        ({"promt": "x"}, "prompt"),
        ({"prompt": "x", "sampling": {"temprature": 1}}, "temperature"),
        ({"messages": [{"role": "user", "conten": "x"}]}, "content"),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest_known_one(
    body: object, nearest: str
) -> None:
    error = refusal(body)
    assert error.hint == f"did you mean {nearest}?"
    assert error.candidates == (nearest,)


def test_an_unknown_field_that_resembles_none_has_no_hint() -> None:
    assert refusal({"prompt": "x", "zzz": 1}).hint is None


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "the secret", "messages": "the secret"},
        {"prompt": "the secret", "seed": "the secret", "workload": "the secret"},
        {"prompt": ["the secret"]},
        {"messages": [{"role": "the secret", "content": {"the": "secret"}}]},
        {"prompt": "the secret", "task_id": "the secret"},
    ],
)
def test_no_text_of_the_client_is_repeated(body: object) -> None:
    assert "secret" not in refusal(body).message


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"prompt":"\\ud800"}', b"[" * 10_000])
def test_what_is_no_json_is_refused_as_such(raw: bytes) -> None:
    with pytest.raises(ApiError, match="no valid JSON"):
        parse_json(TaskRequest, raw)


@pytest.mark.parametrize("raw", [b'{"content":NaN}', b'{"content":[{"a":1e999}]}'])
def test_numbers_that_json_does_not_have_are_refused(raw: bytes) -> None:
    with pytest.raises(ApiError, match="content: NaN and infinite numbers are no JSON"):
        parse_json(ArtifactRequest, raw)


def test_a_whole_number_may_be_written_with_a_point_and_a_broken_one_may_not() -> None:
    assert parse_json(TaskRequest, b'{"prompt": "x", "max_tokens": 8.0}').max_tokens == 8
    assert "got 8.5" in refusal({"prompt": "x", "max_tokens": 8.5}).message
    assert "got true" in refusal({"prompt": "x", "max_tokens": True}).message


def test_a_query_is_read_from_its_texts() -> None:
    query = parse_query(TaskQuery, [("state", "running"), ("limit", "7")])
    assert query == TaskQuery(state=TaskState.RUNNING, limit=7)
    assert parse_query(EventsQuery, [("verbose", "true")]).verbose


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("limit", "0")], "limit: input should be greater"),
        ([("limit", "1"), ("limit", "2")], "limit: given more than once"),
        ([("state", "asleep")], "state: input should be 'queued'"),
        ([("limt", "5")], "limt: there is no such field"),
    ],
)
def test_a_wrong_query_is_refused(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        parse_query(TaskQuery, pairs)


def test_a_flag_is_true_or_false_and_nothing_else() -> None:
    with pytest.raises(ApiError, match="verbose: should be true or false"):
        parse_query(EventsQuery, [("verbose", "1")])


def test_a_long_or_unprintable_name_is_shortened_and_escaped() -> None:
    message = refusal({"prompt": "x", "\x1b[31m": 1, "k" * 500: 1}).message
    assert "\x1b" not in message
    assert "k" * 65 not in message


def test_a_problem_without_its_model_has_no_hint() -> None:
    with pytest.raises(ValidationError) as caught:
        TaskRequest.model_validate({"prompt": "x", "promt": "x"})
    error = problem(caught.value)
    assert error.message == "promt: there is no such field"
    assert error.hint is None
