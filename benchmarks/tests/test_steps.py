"""How many steps a token takes: calls of functions, the same on a slow or busy machine."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from benchmarks.engine import ChatStream, NativeStream

from adapter_api import Tokens
from admission_coordinator import EventLog
from admission_coordinator.frames import TokenFrame, native
from llamacpp_http.stream import ChatReader, CompletionReader, StreamReader
from telemetry_core import Metrics, Program

CHUNK = NativeStream.token.split(b"\r\n")[1]


def python_calls(operation: Callable[[], object]) -> int:
    """Count the Python functions that run for one operation, itself not among them."""
    seen = 0

    def note(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal seen
        seen += event == "call"

    operation()  # What is looked up once is looked up now.
    sys.setprofile(note)
    try:
        operation()
    finally:
        sys.setprofile(None)
    return seen - 1


def test_a_read_of_the_engine_becomes_tokens_in_few_steps() -> None:
    seen: list[object] = []
    reader: StreamReader = CompletionReader(seen.append, seed=1)
    assert python_calls(lambda: reader.feed(CHUNK)) <= 9
    assert seen == [Tokens((" word",))] * 2


def test_a_read_of_many_tokens_takes_hardly_more_steps_than_one_of_few() -> None:
    reader = CompletionReader(lambda _: None, seed=1)
    few, many = (python_calls(lambda n=n: reader.feed(CHUNK * n)) for n in (2, 64))
    assert many - few <= 62  # One look at each chunk, and nothing else.


def test_a_chat_s_token_takes_no_more_steps_than_a_completion_s() -> None:
    reader = ChatReader(lambda _: None, seed=1)
    chunk = ChatStream.token.split(b"\r\n")[1]
    assert python_calls(lambda: reader.feed(chunk)) <= 9


def test_a_frame_reaches_its_reader_in_few_steps() -> None:
    log = EventLog(max_bytes=1_000_000)
    cursor = log.open()
    assert cursor is not None
    taken: list[bytes] = []

    def take() -> None:
        taken.append(cursor.take())

    cursor.follow(take)
    assert python_calls(lambda: log.append_tokens("word", 0, 1)) <= 8
    assert taken == [native(number, TokenFrame("word", 0, 1)) for number in (1, 2)]


def test_a_measured_value_takes_one_step() -> None:
    child = Metrics(Program.ORCHESTRATORD).histogram("orchd_admission_latency_ms").labels()
    assert python_calls(lambda: child.observe(3.0)) == 1
