"""How a task that fails is told: by a status as long as possible, by a chunk after that."""

import asyncio
import json
from typing import Any

import pytest

from admission_coordinator import EventLog
from api_types import HTTP_STATUS, ApiError, ErrorCode, TaskError
from orchestratord.http.sse import first_frames
from orchestratord.openai.chunks import ChatStyle, Chunks
from orchestratord.openai.errors import UpstreamErrorBody, openai_answer, upstream
from orchestratord.openai.shapes import Heading

HEADING = Heading(id="chatcmpl-1", created_s=7, model="m", engine=lambda: None)
LOST = TaskError(code="WORKER_RESET", message="the engine is gone", retriable=True)


class Stream:
    """A log and its one reader."""

    def __init__(self) -> None:
        self.log = EventLog(max_bytes=1 << 20)
        self.log.append("started", {"task_id": "1"})
        style = ChatStyle(top_logprobs=0)
        self.chunks = Chunks(HEADING, style, include_usage=False, correlation_id="c-1")
        cursor = self.log.open(dialect=self.chunks)
        assert cursor is not None
        self.reader = cursor

    def fail(self, error: TaskError = LOST) -> None:
        self.log.finish("error", error.model_dump(exclude_none=True))


async def test_a_failure_before_the_first_token_keeps_its_status() -> None:
    stream = Stream()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_raised(stream))
        stream.log.append_metrics({"queue_position": 1})
        stream.fail()
    error = reading.result()
    assert (error.code, error.status) == (ErrorCode.WORKER_RESET, 502)


async def _raised(stream: Stream) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await first_frames(stream.reader, hold_s=60)
    return caught.value


async def test_headers_go_when_the_first_token_comes() -> None:
    stream = Stream()
    stream.log.append_tokens("Hi", 0, 1)
    data = await first_frames(stream.reader, hold_s=60)
    assert data.count(b"data: ") == 2
    assert not stream.reader.ended


async def test_headers_go_without_a_token_when_it_was_held_long_enough() -> None:
    stream = Stream()
    assert await first_frames(stream.reader, hold_s=0.01) == b""
    assert not stream.reader.ended


@pytest.mark.parametrize("first", ["Hi", None])
def test_a_later_failure_is_one_chunk_and_nothing_says_done(first: str | None) -> None:
    stream = Stream()
    if first is None:
        stream.chunks.commit()
    else:
        stream.log.append_tokens(first, 0, 1)
    stream.reader.take()
    stream.fail()
    data = stream.reader.take()
    assert stream.reader.ended
    (event,) = data.decode().strip().split("\n\n")
    error = json.loads(event.removeprefix("data: "))["error"]
    assert (error["code"], error["type"]) == ("WORKER_RESET", "server_error")
    assert error["llama_orch"]["correlation_id"] == "c-1"


def test_tokens_before_a_failure_are_not_lost() -> None:
    stream = Stream()
    stream.log.append_tokens("Hi", 0, 1)
    stream.fail()
    data = stream.reader.take()
    assert b'"Hi"' in data
    assert b'"error"' in data
    assert b"[DONE]" not in data


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_has_its_shape_and_keeps_its_status(code: ErrorCode) -> None:
    answer = openai_answer(ApiError(code, "what is wrong"), "c-1")
    assert answer.status == HTTP_STATUS[code]
    assert isinstance(answer.body, bytes)
    error: Any = json.loads(answer.body)["error"]
    UpstreamErrorBody.model_validate_json(answer.body)
    assert error["code"] == code
    assert {"message", "type", "param"} < error.keys()
    if code is not ErrorCode.INTERNAL:
        assert error["message"] == "what is wrong"


@pytest.mark.parametrize(
    ("retriable", "status", "told"),
    [(True, ErrorCode.ADMISSION_REJECT, "true"), (False, ErrorCode.BUDGET_EXCEEDED, "false")],
)
def test_clients_are_told_whether_and_when_to_try_again(
    retriable: bool, status: ErrorCode, told: str
) -> None:
    error = ApiError(status, "no", retriable=retriable, retry_after_ms=1500)
    headers = openai_answer(error, "c-1").headers
    assert headers["X-Should-Retry"] == told
    assert headers["Retry-After"] == "2"
    assert headers["Retry-After-Ms"] == "1500"
    assert headers["X-RateLimit-Reset-Requests"] == "2s"


@pytest.mark.parametrize(
    ("code", "message", "param"),
    [
        (ErrorCode.INVALID_PARAMS, "messages[0].content: is wrong", "messages[0].content"),
        (ErrorCode.INVALID_PARAMS, "X-Priority: is wrong", "X-Priority"),
        (ErrorCode.INVALID_PARAMS, "the body is no valid JSON: eof", None),
        (ErrorCode.INVALID_PARAMS, "the model's chat template has no tools", "tools"),
        (ErrorCode.MODEL_NOT_FOUND, "no model 'x' is known here", "model"),
        (ErrorCode.POOL_NOT_FOUND, "x: no pool", None),
    ],
)
def test_an_error_says_which_parameter_it_is_about(
    code: ErrorCode, message: str, param: str | None
) -> None:
    body = ApiError(code, message, hint="look there").body("c-1")
    error = json.loads(upstream(body))["error"]
    assert error["param"] == param
    assert error["message"] == f"{message}; look there"


def test_a_failure_is_told_once_to_a_reader_that_looks_again() -> None:
    stream = Stream()
    stream.log.append_tokens("Hi", 0, 1)
    stream.reader.take()
    stream.fail()
    assert b'"error"' in stream.reader.take()
    assert stream.reader.take() == b""
