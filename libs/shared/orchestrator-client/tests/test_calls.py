import socket
from uuid import uuid4

import pytest
from pydantic import ValidationError

import orchestrator_client
from api_types import TaskRequest, TaskState
from orchestrator_client import (
    NO_RETRY,
    ApiStatusError,
    Client,
    ConnectionLost,
    ProtocolError,
    TaskConflict,
    TaskNotFound,
    Timeouts,
    Unreachable,
)
from orchestrator_client.testing import FakeOrchestratord, Refusal

BUSY = {"code": "ADMISSION_REJECT", "message": "full", "hint": "wait", "retriable": True}


async def test_backpressure_is_waited_out_as_long_as_the_server_asks(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.refusals.append(Refusal(429, BUSY, {"X-Backoff-Ms": "20", "Retry-After": "1"}))
    fake.refusals.append(Refusal(503, BUSY | {"retry_after_ms": 10}))
    await client.submit("hi")
    assert len(fake.requests) == 3
    assert len({request.body for request in fake.requests}) == 1


async def test_a_wish_beyond_the_total_time_is_raised_at_once(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.refusals.append(Refusal(429, BUSY, {"Retry-After": "60"}))
    with pytest.raises(ApiStatusError) as caught:
        await client.submit("hi")
    assert caught.value.code == "ADMISSION_REJECT"
    assert caught.value.hint == "wait"
    assert caught.value.retry_after_ms == 60_000
    assert len(fake.requests) == 1


async def test_what_may_not_be_retried_is_not(fake: FakeOrchestratord, client: Client) -> None:
    spent = {"code": "BUDGET_EXCEEDED", "message": "m", "retriable": False, "correlation_id": "c"}
    fake.refusals.append(Refusal(429, spent))
    with pytest.raises(ApiStatusError) as caught:
        await client.submit("hi")
    assert caught.value.status == 429
    assert caught.value.correlation_id == "c"
    assert len(fake.requests) == 1


async def test_it_stops_after_its_attempts(fake: FakeOrchestratord, client: Client) -> None:
    fake.refusals.extend([Refusal(503, "")] * 9)
    with pytest.raises(ApiStatusError, match="HTTP_503"):
        await client.pools()
    assert len(fake.requests) == 4


async def test_the_same_id_with_another_body_is_a_conflict(client: Client) -> None:
    task_id = uuid4()
    await client.submit("one", task_id=task_id)
    with pytest.raises(TaskConflict):
        await client.submit("two", task_id=task_id)


async def test_a_request_may_be_given_whole_or_as_fields_or_mixed(
    fake: FakeOrchestratord, client: Client
) -> None:
    await client.submit(TaskRequest(prompt="a"), max_tokens=1)
    await client.submit(prompt="a", max_tokens=1, seed=None)
    await client.submit("a", max_tokens=1)
    bodies = [{**task.body, "task_id": None} for task in fake.tasks.values()]
    assert bodies == [{"task_id": None, "prompt": "a", "max_tokens": 1}] * 3


async def test_a_wrong_request_is_refused_before_it_is_sent(
    fake: FakeOrchestratord, client: Client
) -> None:
    with pytest.raises(ValidationError, match="exactly one of prompt"):
        await client.submit()
    assert not fake.requests


async def test_an_unreachable_server_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with Client(url, retry=NO_RETRY) as client:
            with pytest.raises(Unreachable, match=url):
                await client.version()


async def test_the_api_key_is_sent_and_does_not_follow_a_redirect(
    fake: FakeOrchestratord,
) -> None:
    fake.refusals.append(Refusal(302, "", {"Location": "http://127.0.0.1:1/"}))
    async with Client(fake.url, api_key="sesame") as client:
        with pytest.raises(ApiStatusError, match="HTTP_302"):
            await client.version()
    assert fake.requests[0].headers["Authorization"] == "Bearer sesame"


async def test_tasks_can_be_listed_shown_and_canceled(client: Client) -> None:
    handle = await client.submit("hi")
    assert (await handle.status()).state is TaskState.FINISHED
    await client.cancel(handle.task_id)
    assert (await client.status(handle.task_id)).state is TaskState.CANCELED
    assert not (await client.tasks(state=TaskState.RUNNING, limit=5)).tasks
    with pytest.raises(TaskNotFound):
        await client.cancel(uuid4())


async def test_what_is_not_ready_is_no_error(fake: FakeOrchestratord, client: Client) -> None:
    fake.refusals.append(Refusal(503, {"ready": False, "pools": []}))
    assert not (await client.ready()).ready


async def test_an_answer_of_another_shape_is_a_protocol_error(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.documents["/v2/meta/version"] = {"service": 3}
    with pytest.raises(ProtocolError, match="GET /v2/meta/version answered no valid VersionInfo"):
        await client.version()


async def test_sessions_and_artifacts_have_their_routes(
    fake: FakeOrchestratord, client: Client
) -> None:
    artifact = {"id": "sha256:ab", "created_ms": 1, "size_bytes": 2, "content": {"a": 1}}
    fake.documents["/v2/artifacts"] = {"id": "sha256:ab", "created": True, "artifacts": [artifact]}
    fake.documents["/v2/artifacts/sha256:ab"] = artifact
    assert (await client.store_artifact({"a": 1}, tags=("t",))).created
    assert (await client.artifact("sha256:ab")).content == {"a": 1}
    assert len((await client.artifacts(tag="t")).artifacts) == 1
    with pytest.raises(ApiStatusError, match="NOT_FOUND"):
        await client.delete_session("s/1")
    assert fake.requests[-1].path == "/v2/sessions/s/1"


async def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        async with Client(url, retry=NO_RETRY, timeouts=Timeouts(request_s=0.05)) as client:
            with pytest.raises(ConnectionLost, match="fell silent"):
                await client.version()


async def test_a_client_that_is_not_open_says_how_to_open_it() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Client().version()


def test_every_public_name_is_there_and_in_order() -> None:
    names = orchestrator_client.__all__
    assert names == sorted(names, key=lambda n: (not n.isupper(), n))
    assert all(hasattr(orchestrator_client, name) for name in names)
