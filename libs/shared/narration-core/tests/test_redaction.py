import json
import string
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narration_core import REDACTED, redact, redact_text

SECRETS = st.text(string.ascii_letters + string.digits, min_size=16, max_size=40).map("Q7z".__add__)
SECRET_KEYS = st.sampled_from(
    [
        *("authorization", "Authorization", "api_key", "apiKey", "X-API-Key", "engine_key"),
        *("token", "access_token", "accessToken", "cookie", "Set-Cookie", "password"),
        *("client_secret", "private_key", "hf_token", "PROXY-AUTHORIZATION"),
    ]
)
CONTENT_KEYS = st.sampled_from(["prompt", "messages", "inputs", "text", "content", "query"])
PLAIN_KEYS = st.sampled_from(["event", "human", "task_id", "detail", "headers", "exception"])
EMBEDDINGS: list[Callable[[str], str]] = [
    "Bearer {}".format,
    "calling with authorization: Bearer {} failed".format,
    "Authorization: Basic {}".format,
    "basic {}".format,
    "sk-{}".format,
    "the key sk-proj-{} is wrong".format,
    "hf_{}".format,
    "http://127.0.0.1:1/x?api_key={}&a=1".format,
    "https://user:{}@host/path".format,
    "token={}".format,
    '"token": "{}"'.format,
    "password: {}".format,
    "Cookie: a=b; session={}".format,
    "eyJhbGciOiJIUzI1NiJ9.{}.sig".format,
    '{{"prompt": "{}"}}'.format,
    '{{"model": "m", "messages": [{{"role": "user", "content": "{}"}}]}}'.format,
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----".format,
]


@st.composite
def hidden(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A secret, and an event that holds it somewhere."""
    secret = draw(SECRETS)
    kind = draw(st.sampled_from(["key", "content", "inside"]))
    if kind == "inside":
        key = draw(PLAIN_KEYS)
        value: Any = draw(st.sampled_from(EMBEDDINGS))(secret)
    else:
        key = draw(SECRET_KEYS if kind == "key" else CONTENT_KEYS)
        value = draw(st.sampled_from([secret, [secret], {"a": secret}, secret.encode()]))
    for wrap in draw(st.lists(st.sampled_from(["dict", "list", "tuple"]), max_size=12)):
        value = {"dict": {key: value}, "list": [{key: value}], "tuple": ({key: value},)}[wrap]
        key = draw(PLAIN_KEYS)
    return secret, {"event": "something_happened", key: value}


@settings(deadline=None)
@given(hidden())
def test_no_secret_and_no_prompt_is_in_any_output(case: tuple[str, dict[str, Any]]) -> None:
    secret, event = case
    assert secret not in json.dumps(redact(None, "info", event))


@pytest.mark.parametrize("embed", [*EMBEDDINGS, "Cookie: {}".format, "refused {}".format])
def test_each_look_of_a_secret_is_known(embed: Callable[[str], str]) -> None:
    secret = "AKIAQ7ZQ7ZQ7ZQ7ZQ7ZQ"
    assert secret not in redact_text(embed(secret))


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_any_value_becomes_strict_json(value: Any) -> None:
    json.dumps(redact(None, "info", {"event": "e", "value": value}), allow_nan=False)


@pytest.mark.parametrize(
    "text",
    [
        "task_admitted",
        "token:ab12cd",
        "key:laptop",
        "Stream ended after 64 tokens in 1.2 s.",
        "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "http://127.0.0.1:4321/completion?stream=true",
        "model qwen2.5-0.5b-instruct-q4_k_m.gguf is ready",
    ],
)
def test_ordinary_words_pass_unchanged(text: str) -> None:
    assert redact_text(text) == text


def test_counts_pass_although_their_names_resemble_secrets() -> None:
    event = {"tokens_in": 5, "tokens_out": 7, "tokens": 9, "first_token_ms": 1.5, "tokens_ok": True}
    assert redact(None, "info", dict(event)) == event


def test_an_object_that_is_not_known_shows_its_type_only() -> None:
    class Request:
        def __repr__(self) -> str:
            return "Request(prompt='my diary')"

    assert redact(None, "info", {"request": Request()}) == {"request": "<Request>"}


def test_the_human_line_has_no_raw_ids() -> None:
    told = "Task 6f9619ff-8b86-d011-b42d-00c04fc964ff waits."
    assert redact(None, "info", {"human": told}) == {"human": "Task … waits."}


def test_large_values_are_cut() -> None:
    event = redact(None, "info", {"a": "x" * 100_000, "b": list(range(1000))})
    assert len(event["a"]) < 10_000
    assert event["b"][-1] == "… (1000 items)"


def test_a_secret_at_the_border_of_the_cut_is_not_shown_in_part() -> None:
    for start in range(8150, 8200):
        shown = redact_text("x" * start + " http://user:Q7zQ7zQ7zQ7z@host " + "y" * 9000)
        assert "Q7z" not in shown


@pytest.mark.parametrize(
    "piece",
    [
        *("eyJ", "-eyJ", "eyJ.", "token", "token ", "token=", "bearer ", "basic", "://", "://a:"),
        *('"prompt"', '"text":"', '\\"', "authorization", "cookie: ", "sk-", "-----BEGIN "),
    ],
)
def test_no_text_takes_long_to_look_through(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    began_s = time.process_time()
    redact_text(text)
    assert time.process_time() - began_s < 0.5


def test_a_structure_that_holds_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    json.dumps(redact(None, "info", {"a": loop}))


def test_an_exception_is_named_with_its_redacted_message() -> None:
    event = redact(None, "info", {"error": ValueError("bad header Bearer abcdef")})
    assert event["error"] == f"ValueError: bad header Bearer {REDACTED}"
