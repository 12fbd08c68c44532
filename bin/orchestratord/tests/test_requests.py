"""What is wrong with a request is a typed 4xx, whatever it is."""

import asyncio
import json

import pytest

from api_types import ApiError, ErrorCode
from orchestratord.testing import Shell

TASK = {"prompt": "hello"}
UNKNOWN = "4f1c0d7e-9a35-4e0b-8a7c-2d1b6f3e5a90"


async def test_a_valid_task_is_accepted_with_its_place(shell: Shell) -> None:
    shell.tasks.budget_headers = {"X-Budget-Tokens-Remaining": "7"}
    answer = await shell.ask("POST", "/v2/tasks", body=TASK)
    assert answer.status == 202
    task_id = answer.json()["task_id"]
    assert answer.headers["location"] == f"/v2/tasks/{task_id}"
    assert answer.headers["x-task-id"] == task_id
    assert answer.headers["x-budget-tokens-remaining"] == "7"
    assert shell.tasks.sizes_bytes == [len(json.dumps(TASK))]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "JSON"),
        (b"", "empty"),
        (b"[]", ""),
        (b"null", ""),
        (b"\xff\xfe", "JSON"),
        (b'{"prompt": "\xff"}', "JSON"),
        (b'{"prompt": "\\ud800"}', "JSON"),
        (b'{"prompt": NaN}', ""),
        (b'{"prompt": "x", "seed": NaN}', "seed"),
        (b'{"prompt": "x", "max_tokens": 1e400}', "max_tokens"),
        (b'{"prompt": "x", "seed": ' + b"9" * 500 + b"}", "seed"),
        (b'{"prompt": "x", "tools": ' + b"[" * 1500 + b"]" * 1500 + b"}", ""),
        (b'{"prompt": "x", "promt": 1}', "promt"),
        (b'{"prompt": 5}', "prompt"),
        (b'{"prompt": "x", "max_tokens": "5"}', "max_tokens"),
        (b'{"prompt": "x", "sampling": {"temperature": "hot"}}', "temperature"),
        (b"{}", "prompt"),
    ],
)
async def test_a_wrong_body_names_what_is_wrong(shell: Shell, body: bytes, named: str) -> None:
    answer = await shell.ask("POST", "/v2/tasks", body=body)
    assert answer.status == 400, answer.body
    error = answer.json()
    assert error["code"] == "INVALID_PARAMS"
    assert error["retriable"] is False
    assert named in error["message"]
    assert error["correlation_id"] == answer.headers["x-correlation-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/v2/tasks/", 404, "NOT_FOUND"),
        ("POST", "/v2/nodes/register", 404, "NOT_FOUND"),
        ("GET", f"/v2/tasks/{UNKNOWN}", 404, "TASK_NOT_FOUND"),
        ("GET", "/v2/tasks/not-an-id", 404, "TASK_NOT_FOUND"),
        ("GET", "/v2/tasks/%ff%00", 404, "TASK_NOT_FOUND"),
        ("POST", f"/v2/tasks/{UNKNOWN}/cancel", 404, "TASK_NOT_FOUND"),
        ("GET", "/v2/pools/none/health", 404, "POOL_NOT_FOUND"),
        ("GET", "/v2/pools/other:default/health", 404, "POOL_NOT_FOUND"),
        ("GET", "/v2/pools/UPPER/status", 404, "POOL_NOT_FOUND"),
        ("POST", "/v2/pools/none/drain", 404, "POOL_NOT_FOUND"),
        ("GET", "/v2/catalog/models/none", 404, "MODEL_NOT_FOUND"),
        ("GET", "/v2/sessions/none", 404, "SESSION_NOT_FOUND"),
        ("GET", "/v2/artifacts/none", 404, "ARTIFACT_NOT_FOUND"),
        ("GET", f"/v2/artifacts/sha256:{'0' * 64}", 404, "ARTIFACT_NOT_FOUND"),
        ("PUT", "/v2/tasks", 405, "METHOD_NOT_ALLOWED"),
        ("PROPFIND", "/v2/tasks", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v2/tasks?limit=0", 400, "INVALID_PARAMS"),
        ("GET", "/v2/tasks?limit=1&limit=2", 400, "INVALID_PARAMS"),
        ("GET", "/v2/tasks?state=asleep", 400, "INVALID_PARAMS"),
        ("GET", "/v2/tasks?colour=red", 400, "INVALID_PARAMS"),
        ("GET", "/v2/artifacts?tag=%ff", 400, "INVALID_PARAMS"),
    ],
)
async def test_wrong_places_have_typed_answers(
    shell: Shell, method: str, path: str, status: int, code: str
) -> None:
    answer = await shell.ask(method, path)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.headers["x-correlation-id"] == answer.json()["correlation_id"]


async def test_a_wrong_method_is_told_the_right_ones(shell: Shell) -> None:
    answer = await shell.ask("DELETE", "/v2/tasks")
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_is_not_json_is_refused(shell: Shell, kind: str) -> None:
    answer = await shell.ask("POST", "/v2/tasks", body=TASK, headers={"Content-Type": kind})
    assert (answer.status, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_json_with_a_charset_is_json(shell: Shell) -> None:
    kind = "Application/JSON; charset=utf-8"
    answer = await shell.ask("POST", "/v2/tasks", body=TASK, headers={"Content-Type": kind})
    assert answer.status == 202


async def test_an_encoded_body_is_refused_unread(shell: Shell) -> None:
    answer = await shell.ask("POST", "/v2/tasks", body=TASK, headers={"Content-Encoding": "gzip"})
    assert answer.status == 415


async def test_a_cancel_from_a_form_is_refused(shell: Shell) -> None:
    answer = await shell.ask(
        "POST", f"/v2/tasks/{UNKNOWN}/cancel", headers={"Content-Type": "text/plain"}
    )
    assert answer.status == 415


async def test_an_empty_body_may_be_of_any_kind_that_no_form_sends(shell: Shell) -> None:
    answer = await shell.ask(
        "POST", f"/v2/tasks/{UNKNOWN}/cancel", headers={"Content-Type": "application/octet-stream"}
    )
    assert answer.status == 404


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.1", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("*/*, application/json;q=0", 406),
        ("application/json;q=much", 406),
        ("", 200),
    ],
)
async def test_an_answer_that_accept_excludes_is_not_given(
    shell: Shell, accept: str, status: int
) -> None:
    answer = await shell.ask("GET", "/v2/pools", headers={"Accept": accept})
    assert answer.status == status


async def test_a_body_over_the_limit_is_refused(shell: Shell) -> None:
    answer = await shell.ask("POST", "/v2/tasks", body={"prompt": "x" * 5000})
    assert (answer.status, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_ten_megabytes_are_refused_before_they_are_read(shell: Shell) -> None:
    answer = await shell.ask("POST", "/v2/tasks", body=b"x" * 10_000_000)
    assert answer.status == 413
    assert (await shell.ask("GET", "/health")).status == 200


async def test_a_chunked_body_is_counted_as_it_comes(shell: Shell) -> None:
    head = chunked_head(shell)
    chunks = b"".join(b"400\r\n" + b"x" * 1024 + b"\r\n" for _ in range(6))
    assert (await shell.raw(head + chunks)).status == 413


async def test_a_chunked_body_within_the_limit_is_read(shell: Shell) -> None:
    body = json.dumps(TASK).encode()
    chunks = b"".join(b"1\r\n" + body[i : i + 1] + b"\r\n" for i in range(len(body)))
    assert (await shell.raw(chunked_head(shell) + chunks + b"0\r\n\r\n")).status == 202


async def test_broken_chunks_are_a_bad_request(shell: Shell) -> None:
    answer = await shell.raw(chunked_head(shell) + b"zz\r\nxx\r\n0\r\n\r\n")
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_PARAMS")


async def test_a_content_length_that_lies_low_cuts_the_body(shell: Shell) -> None:
    answer = await shell.ask(
        "POST", "/v2/tasks", body=b'{"prompt": "x"}', headers={"Content-Length": "5"}
    )
    assert answer.status == 400


async def test_a_content_length_that_lies_high_waits_no_longer_than_the_client(
    shell: Shell,
) -> None:
    reader, writer = await shell.connect()
    writer.write(
        f"POST /v2/tasks HTTP/1.1\r\nHost: 127.0.0.1:{shell.port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{}".encode()
    )
    await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(5):
        await reader.read()
    assert shell.tasks.submitted == []


MALFORMED = [
    b"rubbish\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 20 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nno colon here\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
    b"POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\r\n",
    b"BREW /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: the-moon\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", MALFORMED)
async def test_what_is_hardly_http_gets_a_typed_answer(shell: Shell, request_bytes: bytes) -> None:
    answer = await shell.raw(request_bytes)
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_PARAMS")
    assert answer.headers["x-correlation-id"] == answer.json()["correlation_id"]


async def test_duplicate_headers_of_no_meaning_are_no_error(shell: Shell) -> None:
    answer = await shell.raw(
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-Any: 1\r\n" * 50 + b"\r\n"
    )
    assert answer.status == 200


@pytest.mark.parametrize("given", ["abc", "x" * 128, "!~"])
async def test_a_callers_correlation_id_comes_back(shell: Shell, given: str) -> None:
    for path in ("/health", "/nowhere"):
        answer = await shell.ask("GET", path, headers={"X-Correlation-Id": given})
        assert answer.headers["x-correlation-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "\u00e4"])
async def test_an_unusable_correlation_id_is_replaced(shell: Shell, given: str) -> None:
    answer = await shell.ask("GET", "/health", headers={"X-Correlation-Id": given})
    assert len(answer.headers["x-correlation-id"]) == 36


async def test_a_task_is_admitted_under_the_callers_correlation_id(shell: Shell) -> None:
    await shell.ask("POST", "/v2/tasks", body=TASK, headers={"X-Correlation-Id": "mine"})
    assert shell.tasks.correlation_ids == ["mine"]


async def test_a_task_continues_the_callers_trace(shell: Shell) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    for given in (trace, "rubbish"):
        await shell.ask("POST", "/v2/tasks", body=TASK, headers={"traceparent": given})
    assert shell.tasks.traceparents == [trace, None]


async def test_backpressure_carries_its_headers_and_fields(shell: Shell) -> None:
    shell.tasks.refusal = ApiError(
        ErrorCode.ADMISSION_REJECT, "the queue is full", retry_after_ms=1201, policy_label="reject"
    )
    answer = await shell.ask("POST", "/v2/tasks", body=TASK)
    assert answer.status == 429
    assert (answer.headers["retry-after"], answer.headers["x-backoff-ms"]) == ("2", "1201")
    error = answer.json()
    assert (error["policy_label"], error["retriable"], error["retry_after_ms"]) == (
        "reject",
        True,
        1201,
    )


async def test_every_retriable_503_says_when_to_come_back(shell: Shell) -> None:
    shell.tasks.refusal = ApiError(ErrorCode.SHUTTING_DOWN, "shutting down")
    answer = await shell.ask("POST", "/v2/tasks", body=TASK)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["policy_label"] == "shutting_down"


@pytest.mark.parametrize("code", [code for code in ErrorCode if code != ErrorCode.INTERNAL])
async def test_every_code_has_its_status_and_body(shell: Shell, code: ErrorCode) -> None:
    shell.tasks.refusal = ApiError(code, "so it is", hint="look there")
    answer = await shell.ask("POST", "/v2/tasks", body=TASK)
    assert answer.status == shell.tasks.refusal.status
    assert (answer.json()["code"], answer.json()["hint"]) == (code, "look there")


@pytest.mark.parametrize(
    "failure", [RuntimeError("secret detail"), ApiError(ErrorCode.INTERNAL, "secret detail")]
)
async def test_what_nobody_foresaw_is_a_500_without_internals(
    shell: Shell, failure: Exception
) -> None:
    shell.tasks.refusal = failure
    answer = await shell.ask("POST", "/v2/tasks", body=TASK)
    assert (answer.status, answer.json()["code"]) == (500, "INTERNAL")
    assert b"secret" not in answer.body


async def test_requests_are_counted_by_pattern_not_by_path(shell: Shell) -> None:
    await shell.ask("GET", f"/v2/tasks/{UNKNOWN}")
    await shell.ask("PROPFIND", "/else")
    assert shell.observer.requests == [
        ("/v2/tasks/{task_id}", "GET", 404),
        ("unmatched", "OTHER", 404),
    ]


def chunked_head(shell: Shell) -> bytes:
    return (
        f"POST /v2/tasks HTTP/1.1\r\nHost: 127.0.0.1:{shell.port}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
