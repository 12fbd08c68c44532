"""A story writes what a logger with its fields would, by a shorter way."""

import io
import json
import logging
import string
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from narration_core import LogSettings, Story, Subject, Wording, configure, get_logger, redact
from narration_core.redaction import plain_id

SETTINGS = LogSettings(
    format="json", level="info", service="100%", node_id="n1", machine_id="Bearer abcdef"
)
CONTRACT = ("timestamp", "level", "event", "service", "node_id", "machine_id", "correlation_id")
SUBJECT = Subject(own=("correlation_id", "task_id"), shared=("identity", "prompt", "turn"))
PLACED = Wording(
    "warning",
    "task_placed",
    "{_who} runs on {pool_id} as number {place} of {place}, after {wait_ms} ms.",
    texts=("pool_id", "prompt", "token", "_who"),
    numbers=("place", "wait_ms", "tokens", "api_key"),
)
HEX_IDS = st.text("0123456789abcdef-", max_size=40)
IDS = HEX_IDS | st.text(max_size=20) | st.sampled_from(["Bearer abcdef", '"', "\\", "%s", "{0}"])
TEXTS = st.none() | st.text(max_size=12) | st.sampled_from(["hf_abcdefgh1", "8000000000000", "%d"])
NUMBERS = st.none() | st.integers(-(2**63), 2**63)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in told:
        line.pop("timestamp")
    return told


@given(
    own=st.tuples(IDS, IDS),
    shared=st.tuples(TEXTS, TEXTS, TEXTS),
    texts=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS),
    numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
)
@example(
    own=("a-1", "b-2"),
    shared=("localhost", None, None),
    texts=("80000", "8000000000001", None, "8000000000000 and 8"),
    numbers=(8, 80, None, 5),
)
def test_a_story_tells_what_a_logger_with_its_fields_would(
    own: tuple[str, str],
    shared: tuple[str | None, ...],
    texts: tuple[str | None, ...],
    numbers: tuple[int | None, ...],
) -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    story = Story(SUBJECT, own, shared)
    pool_id, prompt, token, who = texts
    for more in (0, 1):  # The second line finds the template of the first.
        place, wait_ms, tokens, api_key = (None if n is None else n + more for n in numbers)
        story.tell(PLACED, texts, (place, wait_ms, tokens, api_key))
        get_logger(
            correlation_id=own[0],
            task_id=own[1],
            identity=shared[0],
            turn=shared[2],
            prompt=prompt,
            pool_id=pool_id,
            token=token,
            place=place,
            wait_ms=wait_ms,
            tokens=tokens,
            api_key=api_key,
        ).warning(
            "task_placed",
            human=f"{who} runs on {pool_id} as number {place} of {place}, after {wait_ms} ms.",
        )
    told = lines(stream)
    assert told[0::2] == told[1::2]
    assert tuple(told[0])[: len(CONTRACT) - 1] == CONTRACT[1:]


@given(
    secret=st.text(string.ascii_letters + string.digits, min_size=16, max_size=40),
    look=st.sampled_from(["Bearer {}", "sk-{}", "token={}", "http://a:{}@b", 'x "prompt": "{}"']),
    place=st.integers(0, 8),
)
def test_no_secret_comes_through_wherever_it_stands(secret: str, look: str, place: int) -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    values = ["plain"] * 9
    values[place] = look.format(f"Q7z{secret}")
    own, shared, texts = (values[0], values[1]), tuple(values[2:5]), tuple(values[5:])
    Story(SUBJECT, own, shared).tell(PLACED, texts, (1, 2, 3, 4))
    assert "Q7z" not in stream.getvalue()


@given(st.text("0123456789abcdef-", min_size=1, max_size=256))
def test_an_id_that_is_written_unseen_is_one_that_would_be_written_so_anyway(text: str) -> None:
    assert plain_id(text)
    assert redact(None, "", {"task_id": text}) == {"task_id": text}
    assert json.dumps(text) == f'"{text}"'


@pytest.mark.parametrize("text", ["", "A", "0g", "0\n", "é", '0"', "٣", "0" * 257])
def test_any_other_id_is_looked_through(text: str) -> None:
    assert not plain_id(text)


def test_an_id_under_the_name_of_a_secret_is_not_shown() -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    Story(Subject(own=("task_id", "api_key")), ("a1", "b2")).tell(Wording("info", "told", "Told."))
    (line,) = lines(stream)
    assert (line["task_id"], line["api_key"]) == ("a1", "[redacted]")


def test_an_error_is_told_with_its_traceback() -> None:
    stream = io.StringIO()
    configure(SETTINGS, stream=stream)
    wording = Wording("error", "task_crashed", "{pool_id} failed.", texts=("pool_id",))
    story = Story(SUBJECT, ("a1", "b2"), ("localhost", None, None))
    story.tell(wording, ("default",), error=ValueError("sent Bearer abcdef"))
    (line,) = lines(stream)
    assert (line["level"], line["event"], line["task_id"]) == ("error", "task_crashed", "b2")
    assert (line["pool_id"], line["human"]) == ("default", "default failed.")
    assert "ValueError" in line["exception"]
    assert "abcdef" not in stream.getvalue()


def test_a_story_keeps_to_the_level_and_to_the_format() -> None:
    wording = Wording("info", "task_admitted", "Admitted, {before} before it.", numbers=("before",))
    quiet, console = io.StringIO(), io.StringIO()
    configure(LogSettings(format="json", level="warning"), stream=quiet)
    Story(Subject(own=("task_id",)), ("t1",)).tell(wording, (), (2,))
    assert quiet.getvalue() == ""
    configure(LogSettings(format="console"), stream=console)
    Story(Subject(own=("task_id",)), ("t1",)).tell(wording, (), (2,))
    assert "Admitted, 2 before it." in console.getvalue()
    assert "t1" in console.getvalue()


def test_a_story_keeps_its_place_among_the_lines_of_its_turn() -> None:
    stream, due = io.StringIO(), list[Callable[[], None]]()
    wording = Wording("info", "second", "Told.")
    with configure(SETTINGS, stream=stream).gathering(due.append):
        get_logger().info("first")
        Story(Subject(own=("task_id",)), ("t1",)).tell(wording)
        get_logger().info("third")
        assert stream.getvalue() == ""
        assert len(due) == 1
    assert [line["event"] for line in lines(stream)] == ["first", "second", "third"]


def test_no_line_is_lost_or_torn_when_many_threads_tell_stories() -> None:
    stream, due = io.StringIO(), list[Callable[[], None]]()
    wording = Wording("info", "told", "Told.", numbers=("number",))
    writer = configure(SETTINGS, stream=stream)

    def tell(name: str, *, and_end_turns: bool = False) -> None:
        story = Story(Subject(own=("task_id",)), (name,))
        for number in range(1_000):
            story.tell(wording, (), (number,))
            if and_end_turns and number % 3 == 0:
                due.pop()()

    threads = [threading.Thread(target=tell, args=(name,)) for name in ("a", "b")]
    with writer.gathering(due.append):
        for thread in threads:
            thread.start()
        tell("c", and_end_turns=True)
        for thread in threads:
            thread.join()
    told = lines(stream)
    for name in ("a", "b", "c"):
        assert [line["number"] for line in told if line["task_id"] == name] == list(range(1_000))
