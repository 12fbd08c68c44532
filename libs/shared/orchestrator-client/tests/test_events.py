from uuid import uuid4

import pytest

from api_types import End, Token
from orchestrator_client import Answer, ProtocolError, TaskFailed
from orchestrator_client.events import StreamCursor
from orchestrator_client.sse import SseParser
from orchestrator_client.testing import (
    HELLO,
    ScriptItem,
    encode_script,
    end,
    error,
    metrics,
    started,
    tokens,
)

TASK_ID = uuid4()


def answer_to(*script: ScriptItem) -> Answer:
    cursor, answer = StreamCursor(), Answer(TASK_ID)
    for frame in SseParser().feed(encode_script(script, TASK_ID)):
        if event := cursor.accept(frame):
            answer.add(event)
    return answer


def test_an_answer_is_the_text_and_the_end() -> None:
    completion = answer_to(*HELLO).completion()
    assert completion.text == "Hello wörld"
    assert isinstance(completion.end, End)
    assert completion.task_id == TASK_ID


def test_a_restart_drops_the_earlier_text() -> None:
    answer = answer_to(started(), *tokens("old"), started(attempt=2), *tokens("new"), end())
    assert answer.completion().text == "new"
    assert answer.attempt == 2


def test_a_failed_task_raises_with_the_text_that_had_come() -> None:
    with pytest.raises(TaskFailed, match="WORKER_RESET") as caught:
        answer_to(started(), *tokens("half"), error("WORKER_RESET", retriable=True))
    assert caught.value.text == "half"
    assert caught.value.retriable


def test_an_answer_without_its_end_is_refused() -> None:
    with pytest.raises(ProtocolError, match="end"):
        answer_to(started(), *tokens("half")).completion()


def test_events_that_were_seen_are_not_given_out_twice() -> None:
    cursor = StreamCursor()
    frames = SseParser().feed(encode_script(HELLO, TASK_ID))
    events = [cursor.accept(frame) for frame in [*frames[:3], *frames]]
    assert [event.id for event in events if event] == [1, 2, 3, 4, 5]
    assert cursor.ended


def test_frames_of_an_unknown_name_are_passed_over() -> None:
    assert answer_to(started(), ("sparkle", {}), metrics(queue_depth=1), end()).end


def test_tokens_count_on_by_how_many_pieces_each_carries() -> None:
    answer_to(started(), ("token", {"t": "ab", "i": 0, "n": 2}), ("token", {"t": "c", "i": 2}))


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ([started(), ("token", {"t": "a", "i": 1})], "token 1, but 0 comes next"),
        ([started(), ("token", {"t": "a"})], "no valid token"),
    ],
)
def test_a_stream_that_breaks_the_contract_is_refused(
    script: list[ScriptItem], complaint: str
) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        answer_to(*script)


def test_a_frame_without_a_numeric_id_is_refused() -> None:
    (frame,) = SseParser().feed(b"event: token\ndata: {}\n\n")
    with pytest.raises(ProtocolError, match="not a number"):
        StreamCursor().accept(frame)


def test_a_reader_that_resumes_in_the_middle_takes_the_count_from_its_first_token() -> None:
    cursor = StreamCursor(2)
    frames = SseParser().feed(encode_script(HELLO, TASK_ID))
    events = [event for frame in frames if (event := cursor.accept(frame))]
    assert [e.data.t for e in events if isinstance(e.data, Token)] == ["lo ", "wörld"]


def test_what_tokens_carry_besides_text_is_kept() -> None:
    call = {"tool_calls": [{"id": "1"}]}
    answer = answer_to(started(), ("token", {"t": "", "i": 0, "x": call}), end())
    assert answer.completion().extras == (call,)
