import asyncio
from contextlib import aclosing
from itertools import count
from uuid import UUID, uuid4

import pytest

from api_types import End, ErrorFrame, Started
from orchestrator_client import (
    Client,
    ConnectionLost,
    EventsExpired,
    RetryPolicy,
    StreamAlreadyEnded,
    TaskEvent,
    TaskFailed,
    TaskNotFound,
    TaskRestarted,
    Timeouts,
    TotalTimeout,
)
from orchestrator_client.testing import (
    HELLO,
    HOLD,
    FakeOrchestratord,
    Refusal,
    encode_script,
    end,
    error,
    started,
    tokens,
)

ONLY_TIME = RetryPolicy(attempts=None, total_ms=300, base_ms=1, cap_ms=5)


def text_of(events: list[TaskEvent]) -> str:
    return "".join(event.data.t for event in events if event.name == "token")


async def test_a_task_streams_typed_events(client: Client) -> None:
    handle = await client.submit("hi", max_tokens=3)
    events = [event async for event in handle.events()]
    assert [event.id for event in events] == [1, 2, 3, 4, 5]
    assert isinstance(events[0].data, Started)
    assert isinstance(events[-1].data, End)
    assert text_of(events) == "Hello wörld"


async def test_text_comes_piece_by_piece(client: Client) -> None:
    handle = await client.submit("hi")
    assert [piece async for piece in handle.text()] == ["Hel", "lo ", "wörld"]


async def test_a_stream_cut_at_any_byte_is_resumed_without_loss_or_doubling(
    fake: FakeOrchestratord, client: Client
) -> None:
    handle = await client.submit("hi")
    body = encode_script(HELLO, handle.task_id)
    for at in range(len(body)):
        fake.cuts.append(at)
        events = [event async for event in handle.events()]
        assert [event.id for event in events] == [1, 2, 3, 4, 5], at
        assert text_of(events) == "Hello wörld", at


async def test_the_one_request_form_survives_a_cut_at_any_frame_with_one_task_each(
    fake: FakeOrchestratord, client: Client
) -> None:
    body = encode_script(HELLO, uuid4())
    boundaries = [i + 2 for i in range(len(body)) if body[i : i + 2] == b"\n\n"]
    for at in [0, 1, *boundaries[:-1], *(place + 1 for place in boundaries[:-1])]:
        fake.tasks.clear()
        fake.cuts.append(at)
        completion = await client.run("hi")
        assert completion.text == "Hello wörld", at
        assert list(fake.tasks) == [completion.task_id], at


async def test_cuts_in_a_row_each_go_on_where_the_last_one_stopped(
    fake: FakeOrchestratord, client: Client
) -> None:
    task_id = uuid4()
    frames = encode_script(HELLO, task_id).split(b"\n\n")[:-1]
    fake.cuts.extend([len(frame) + 10 for frame in frames[:-1]])
    assert (await client.run("hi", task_id=task_id)).text == "Hello wörld"
    resumed_after = [request.headers.get("Last-Event-ID") for request in fake.requests]
    assert resumed_after == [None, "1", "2", "3", "4"]


async def test_a_lost_answer_to_an_admission_does_not_make_a_second_task(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.lost_answers = 2
    completion = await client.run("hi")
    fake.lost_answers = 2
    handle = await client.submit("hi")
    assert list(fake.tasks) == [completion.task_id, handle.task_id]
    assert len([r for r in fake.requests if r.method == "POST"]) == 6


class CuttingProxy:
    """Passes bytes on, and closes the connection once after `cut_after` bytes of answers."""

    def __init__(self, upstream: str) -> None:
        self._port = int(upstream.rsplit(":", 1)[1])
        self.cut_after: int | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as group:
                upward = group.create_task(self._pass_up(reader, up_writer))
                await self._pass_down(up_reader, writer)
                upward.cancel()
        finally:
            writer.close()
            up_writer.close()

    async def _pass_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)

    async def _pass_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if self.cut_after is not None and len(chunk) >= self.cut_after:
                writer.write(chunk[: self.cut_after])
                self.cut_after = None
                return
            if self.cut_after is not None:
                self.cut_after -= len(chunk)
            writer.write(chunk)


async def test_a_wire_cut_at_any_byte_of_head_or_body_gives_the_whole_answer_and_one_task(
    fake: FakeOrchestratord,
) -> None:
    fake.script = (started(), *tokens("a", "b"), end())
    proxy = CuttingProxy(fake.url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Client(url, retry=ONLY_TIME, reconnect=ONLY_TIME) as client:
        for at in count():
            proxy.cut_after = at
            fake.tasks.clear()
            completion = await client.run("hi")
            assert completion.text == "ab", at
            assert list(fake.tasks) == [completion.task_id], at
            if proxy.cut_after is not None:
                break  # the answer was shorter than that
    assert at > len(encode_script(fake.script, uuid4()))


async def test_a_second_started_is_shown_and_drops_the_earlier_text(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.script = (started(), *tokens("old"), started(attempt=2), *tokens("n", "ew"), end())
    handle = await client.submit("hi", on_worker_loss="restart")
    attempts = [e.data.attempt async for e in handle.events() if isinstance(e.data, Started)]
    assert attempts == [1, 2]
    assert (await handle.result()).text == "new"
    with pytest.raises(TaskRestarted):
        [piece async for piece in handle.text()]


async def test_a_failed_task_is_an_event_for_events_and_an_exception_for_run(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.script = (started(), *tokens("half"), error("WORKER_RESET", "gone", retriable=True))
    handle = await client.submit("hi")
    last = [event async for event in handle.events()][-1]
    assert isinstance(last.data, ErrorFrame)
    with pytest.raises(TaskFailed, match="WORKER_RESET: gone") as caught:
        await client.run("hi")
    assert caught.value.text == "half"


async def test_resuming_after_the_last_event_says_that_the_stream_has_ended(
    client: Client,
) -> None:
    handle = await client.submit("hi")
    with pytest.raises(StreamAlreadyEnded):
        [event async for event in handle.events(last_event_id=5)]


async def test_a_reader_may_resume_by_itself(client: Client) -> None:
    handle = await client.submit("hi")
    assert [event.id async for event in handle.events(last_event_id=3)] == [4, 5]


async def test_events_that_left_the_log_are_a_typed_error(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.evicted_through = 4
    handle = await client.submit("hi")
    with pytest.raises(EventsExpired):
        [event async for event in handle.events()]


async def test_a_task_that_vanished_with_its_server_is_a_typed_error(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.cuts.append(300)
    task_id = uuid4()
    async with aclosing(client.stream("hi", task_id=task_id)) as events:
        await anext(events)
        fake.tasks.clear()
        with pytest.raises(TaskNotFound):
            [event async for event in events]


async def test_it_gives_up_when_the_server_stays_away(
    fake: FakeOrchestratord, client: Client
) -> None:
    body = encode_script(HELLO, uuid4())
    fake.cuts.extend([len(body) - 5, *[0] * 1000])
    with pytest.raises(ConnectionLost, match="after event 4"):
        await client.run("hi")


async def test_a_refusal_while_resuming_is_retried_when_it_may_be(
    fake: FakeOrchestratord, client: Client
) -> None:
    handle = await client.submit("hi")
    unready = {"code": "SHUTTING_DOWN", "message": "m", "retriable": True, "retry_after_ms": 1}
    fake.cuts.append(300)
    fake.refusals.append(Refusal(503, unready))
    fake.refusals.append(Refusal(502, "<html>proxy</html>"))
    assert (await handle.result()).text == "Hello wörld"


async def test_a_silent_stream_is_opened_again(fake: FakeOrchestratord) -> None:
    fake.script = (started(), *tokens("a"), HOLD)
    timeouts = Timeouts(idle_s=0.05)

    async def end_it_on_the_second_connection() -> None:
        await fake.holding.wait()
        fake.holding.clear()
        await fake.holding.wait()
        next(iter(fake.tasks.values())).canceled.set()

    async with Client(fake.url, reconnect=ONLY_TIME, timeouts=timeouts) as client:
        failure, _ = await asyncio.gather(
            client.run("hi"), end_it_on_the_second_connection(), return_exceptions=True
        )
    assert isinstance(failure, TaskFailed)
    assert failure.code == "CANCELED"
    assert fake.requests[1].headers["Last-Event-ID"] == "2"


async def test_the_total_time_of_a_stream_is_bounded(fake: FakeOrchestratord) -> None:
    fake.script = (started(), HOLD)
    async with Client(fake.url, timeouts=Timeouts(total_s=0.05)) as client:
        with pytest.raises(TotalTimeout):
            await client.run("hi")


async def test_a_canceled_run_cancels_its_task(fake: FakeOrchestratord, client: Client) -> None:
    fake.script = (started(), *tokens("a"), HOLD)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(client.run("hi"))
        await fake.holding.wait()
        run.cancel()
    (task,) = fake.tasks.values()
    assert task.cancels == 1


async def test_a_task_keeps_one_correlation_id_for_all_its_calls(
    fake: FakeOrchestratord,
) -> None:
    ids = iter(["first", "second"])
    async with Client(fake.url, new_correlation_id=lambda: next(ids)) as client:
        handle = await client.submit("hi")
        await handle.result()
        await handle.status()
        await client.tasks()
    assert handle.correlation_id == "first"
    seen = [request.headers["X-Correlation-Id"] for request in fake.requests]
    assert seen == ["first", "first", "first", "second"]


async def test_a_task_may_be_taken_up_by_its_id(client: Client) -> None:
    task_id = (await client.submit("hi")).task_id
    assert (await client.task(str(task_id)).result()).task_id == UUID(str(task_id))
