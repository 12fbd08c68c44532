import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from narration_core import (
    LineWriter,
    LogSettings,
    TraceParent,
    bind_correlation,
    configure,
    get_logger,
)

SETTINGS = LogSettings(
    format="json", level="info", service="orchestratord", node_id="n1", machine_id="m1"
)
CONTRACT = ("timestamp", "level", "event", "service", "node_id", "machine_id", "correlation_id")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_has_the_fields_of_the_contract() -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    log = get_logger(component="queue")
    log.info("task_admitted", queue_position=2)
    with bind_correlation("abc", TraceParent("a" * 32, "b" * 16)):
        log.warning("task_late")
    first, second = lines(stream)
    assert tuple(first)[: len(CONTRACT)] == CONTRACT
    assert (first["service"], first["node_id"], first["machine_id"]) == (
        "orchestratord",
        "n1",
        "m1",
    )
    assert (first["component"], first["queue_position"]) == ("queue", 2)
    assert first["correlation_id"] is None
    assert (second["level"], second["correlation_id"]) == ("warning", "abc")
    assert second["trace_id"] == "a" * 32


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    get_logger().debug("detail")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("chosen", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_the_format_follows_the_terminal_unless_it_is_chosen(
    chosen: Any, stream: io.StringIO, is_json: bool
) -> None:
    configure(LogSettings(format=chosen), stream=stream)
    get_logger().info("started")
    assert stream.getvalue().startswith("{") is is_json


def test_on_a_terminal_the_human_sentence_stands_first_and_escape_codes_do_not_pass() -> None:
    stream = io.StringIO()
    configure(LogSettings(format="console", service="s"), stream=stream)
    get_logger().info(
        "task_admitted", human="Admitted.", model="\x1b[2Jx\ny", deep=["\x1b"], a=None
    )
    written = stream.getvalue()
    assert "Admitted." in written
    assert "task_admitted" not in written
    assert "\x1b" not in written
    assert "None" not in written
    assert written.count("\n") == 1


def test_on_a_terminal_the_sentence_of_a_library_stands_first_too() -> None:
    stream = io.StringIO()
    configure(LogSettings(format="console"), stream=stream)
    logging.getLogger("pools").warning("pool %s is not ready", "a")
    assert "] pool a is not ready" in stream.getvalue()


def test_an_exception_is_one_line_with_its_traceback() -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    try:
        raise ValueError("sent Bearer abcdef")
    except ValueError:
        get_logger().exception("request_failed")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert "ValueError" in line["exception"]
    assert "abcdef" not in line["exception"]


def test_records_of_the_standard_library_come_along_from_warning_on() -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    logging.getLogger("aiohttp.access").info("GET /")
    logging.getLogger("aiohttp.server").warning("odd header %s", "token=abcdefghij")
    logging.getLogger("aiohttp.server").warning("%d", "no number")
    logging.getLogger("aiohttp.server").log(35, "between")
    first, second, third = lines(stream)
    assert (third["detail"], third["level"]) == ("between", "warning")
    assert (first["logger"], first["level"]) == ("aiohttp.server", "warning")
    assert first["detail"] == "odd header token=[redacted]"
    assert second["detail"] == "%d"


def test_a_value_whose_methods_raise_costs_its_line_and_nothing_else() -> None:
    class Broken(dict[str, str]):
        def items(self) -> Any:
            raise RuntimeError("no")

    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    get_logger().info("task_admitted", value=Broken(a="b"))
    (line,) = lines(stream)
    assert (line["event"], line["of"]) == ("log_line_failed", "task_admitted")


def test_a_broken_stream_loses_lines_counted_and_never_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full:
        def write(self, _text: str) -> None:
            raise OSError("no space left")

        def flush(self) -> None: ...

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", None)
    for stream in (Full(), closed, None):
        writer = configure(SETTINGS, stream=stream)
        get_logger().info("lost")
        assert isinstance(writer, LineWriter)
        assert writer.dropped_lines == 1


def test_a_caller_cannot_overwrite_when_and_how() -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    get_logger().info("a", level="debug", timestamp="never", node_id="n2")
    (line,) = lines(stream)
    assert line["level"] == "info"
    assert line["timestamp"] != "never"
    assert line["node_id"] == "n2"


def test_lines_of_one_turn_are_written_together_and_those_of_other_threads_at_once() -> None:
    stream, due = io.StringIO(), list[Callable[[], None]]()
    writer = configure(SETTINGS, stream=stream)
    with writer.gathering(due.append):
        get_logger().info("first")
        get_logger().info("second")
        assert stream.getvalue() == ""
        assert len(due) == 1
        due.pop()()
        assert [line["event"] for line in lines(stream)] == ["first", "second"]
        get_logger().info("third")
        thread = threading.Thread(target=lambda: get_logger().info("elsewhere"))
        thread.start()
        thread.join()
        assert [line["event"] for line in lines(stream)][2:] == ["third", "elsewhere"]
        get_logger().info("last")
    assert lines(stream)[-1]["event"] == "last"
