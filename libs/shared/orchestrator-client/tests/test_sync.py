import asyncio
import inspect
import signal
import sys
import threading

import pytest

from orchestrator_client import Client, SyncClient, SyncTaskHandle, TaskFailed, TaskHandle
from orchestrator_client.testing import HOLD, FakeOrchestratord, error, started, tokens


def test_both_faces_have_the_same_names() -> None:
    for face, twin in ((Client, SyncClient), (TaskHandle, SyncTaskHandle)):
        missing = {n for n in vars(face) if not n.startswith("_")} - set(vars(twin))
        assert missing <= {"events_from"}
        for name in set(vars(face)) & set(vars(twin)):
            if name.startswith("_") or not inspect.isfunction(vars(face)[name]):
                continue
            ours = inspect.signature(vars(face)[name]).parameters
            assert list(ours) == list(inspect.signature(vars(twin)[name]).parameters), name


async def test_blocking_code_runs_streams_and_asks(fake: FakeOrchestratord) -> None:
    def blocking() -> None:
        with SyncClient(fake.url) as client:
            assert client.run("hi").text == "Hello wörld"
            assert [event.id for event in client.stream("hi")] == [1, 2, 3, 4, 5]
            handle = client.submit("hi")
            assert list(handle.text()) == ["Hel", "lo ", "wörld"]
            assert handle.result().task_id == handle.task_id
            assert client.status(handle.task_id) == handle.status()
            assert len(client.tasks().tasks) == 3

    await asyncio.to_thread(blocking)


async def test_a_cut_is_survived_here_too(fake: FakeOrchestratord) -> None:
    fake.cuts.extend([100, 250, 40])
    with_cuts = await asyncio.to_thread(lambda: run_once(fake.url))
    assert with_cuts == "Hello wörld"


def run_once(url: str) -> str:
    with SyncClient(url) as client:
        return client.run("hi").text


async def test_a_stream_that_is_left_early_is_closed(fake: FakeOrchestratord) -> None:
    fake.script = (started(), *tokens("a"), HOLD)

    def blocking() -> None:
        with SyncClient(fake.url) as client:
            for event in client.stream("hi"):
                if event.name == "token":
                    break

    await asyncio.to_thread(blocking)
    assert [thread.name for thread in threading.enumerate()].count("orchestrator-client") == 0


async def test_errors_cross_over_as_they_are(fake: FakeOrchestratord) -> None:
    fake.script = (started(), error("DECODE_TIMEOUT"))
    with pytest.raises(TaskFailed, match="DECODE_TIMEOUT"):
        await asyncio.to_thread(run_once, fake.url)


INTERRUPTED = {
    "while it waits": ("", signal.SIGINT),
    # The flag of a signal without the signal: as when it comes right before the wait begins.
    "on the way to its wait": (
        "import _thread, threading; threading.Timer(0.5, _thread.interrupt_main).start(); ",
        None,
    ),
}


@pytest.mark.parametrize(("before", "number"), INTERRUPTED.values(), ids=INTERRUPTED)
async def test_an_interrupt_of_a_blocking_run_cancels_its_task(
    fake: FakeOrchestratord, before: str, number: signal.Signals | None
) -> None:
    fake.script = (started(), *tokens("a"), HOLD)
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; from orchestrator_client import SyncClient\n"
        f"with SyncClient(sys.argv[1]) as client: {before}client.run('hi')"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, fake.url, stderr=asyncio.subprocess.PIPE
    )
    await fake.holding.wait()
    if number is not None:
        child.send_signal(number)
    _, err = await child.communicate()
    assert err.decode().splitlines()[-1] == "KeyboardInterrupt"
    (task,) = fake.tasks.values()
    assert task.cancels == 1


def test_a_closed_client_says_how_to_open_it() -> None:
    with pytest.raises(RuntimeError, match="with SyncClient"):
        SyncClient().version()
