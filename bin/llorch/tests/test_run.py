import asyncio
import json
import os
import pty
import signal

from orchestrator_client.testing import (
    HOLD,
    FakeOrchestratord,
    Refusal,
    end,
    error,
    metrics,
    started,
    tokens,
)

from .conftest import Llorch, Start


async def test_piped_output_is_the_text_and_nothing_else(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    asked = "--model tiny --max-tokens 5 --seed 7 --temperature 0 --priority batch --session s"
    outcome = await llorch("run", "hi", *asked.split())
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hello wörld\n", "")
    (task,) = fake.tasks.values()
    assert task.body == {
        "task_id": str(task.task_id),
        "prompt": "hi",
        "model_ref": "tiny",
        "max_tokens": 5,
        "seed": 7,
        "priority": "batch",
        "session_id": "s",
        "sampling": {"temperature": 0.0},
    }


async def test_a_dash_reads_the_prompt_and_chat_makes_a_message_of_it(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    await llorch("run", "-", "--chat", stdin="from a pipe")
    (task,) = fake.tasks.values()
    assert task.body["messages"] == [{"role": "user", "content": "from a pipe"}]


async def test_json_is_one_event_a_line(llorch: Llorch) -> None:
    events = [json.loads(line) for line in (await llorch("run", "hi", "--json")).out.splitlines()]
    assert [e["event"] for e in events] == ["started", "token", "token", "token", "end"]
    assert events[-1]["data"]["tokens_out"] == 3


async def test_what_a_terminal_cannot_show_is_a_question_mark_and_json_is_utf_8(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    latin = {"PYTHONIOENCODING": "ascii"}
    fake.script = (started(), *tokens("wör", "\N{LLAMA}"), end())
    outcome = await llorch("run", "hi", variables=latin)
    assert (outcome.code, outcome.out, outcome.err) == (0, "w?r?\n", "")
    events = (await llorch("run", "hi", "--json", variables=latin)).out.splitlines()
    assert [json.loads(line)["data"].get("t") for line in events[1:3]] == ["wör", "\N{LLAMA}"]


async def test_a_cut_connection_goes_unnoticed(fake: FakeOrchestratord, llorch: Llorch) -> None:
    fake.cuts.extend([0, 330, 40])
    outcome = await llorch("run", "hi")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hello wörld\n", "")
    assert len(fake.tasks) == 1


async def test_a_terminal_shows_queue_and_speed_and_no_control_characters_of_the_model(
    fake: FakeOrchestratord, start: Start
) -> None:
    fake.script = (
        started(queue_position=2),
        metrics(queue_position=1, predicted_start_ms=1500),
        metrics(prep={"load": {"status": "running", "phase": "loading", "pct": 45}}),
        metrics(queue_position=0, pool_id="default"),
        *tokens("see \x1b[31mred", "\n"),
        end(tokens_out=20),
    )
    terminal, child_side = pty.openpty()
    child = await start("run", "hi", stdout=child_side, stderr=child_side)
    assert await child.wait() == 0
    os.close(child_side)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    for told in (
        "waiting · position 2",
        "waiting · position 1 · starts in about 1.5 s",
        "preparing: loading · 45 %",
        "running on default …",
    ):
        assert "\r\x1b[2K" + told in shown
    text, summary = shown.split("\r\x1b[2K")[-1].splitlines()
    assert text == "see [31mred"
    assert summary == "20 tokens · 40.0 tokens/s · first token after 120 ms · default"


async def test_an_interrupt_cancels_the_task_and_exits_with_130(
    fake: FakeOrchestratord, start: Start
) -> None:
    fake.script = (started(), *tokens("a"), HOLD)
    child = await start("run", "hi")
    assert child.stdout is not None
    assert await child.stdout.readexactly(1) == b"a"
    child.send_signal(signal.SIGINT)
    out, err = await child.communicate()
    assert (child.returncode, out, err) == (130, b"\n", b"")
    (task,) = fake.tasks.values()
    assert task.cancels == 1


async def test_a_reader_that_goes_away_cancels_the_task(
    fake: FakeOrchestratord, start: Start
) -> None:
    pieces = ["x" * 1000] * 200
    fake.script = (started(), *tokens(*pieces), HOLD)
    child = await start("run", "hi")
    assert child.stdout is not None
    assert await child.stdout.readexactly(10) == b"x" * 10
    child.stdout._transport.close()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        _, err = await child.communicate()
    assert (child.returncode, err) == (141, b"")
    (task,) = fake.tasks.values()
    assert task.cancels == 1


async def test_a_failed_task_keeps_its_text_and_exits_with_1(
    fake: FakeOrchestratord, llorch: Llorch
) -> None:
    fake.script = (started(), *tokens("half"), error("WORKER_RESET", "the engine is gone"))
    outcome = await llorch("run", "hi")
    assert (outcome.code, outcome.out) == (1, "half\n")
    assert outcome.err == "llorch: WORKER_RESET: the engine is gone\n"


async def test_a_restart_is_told(fake: FakeOrchestratord, llorch: Llorch) -> None:
    fake.script = (started(), *tokens("old"), started(attempt=2), *tokens("new"), end())
    outcome = await llorch("run", "hi")
    assert (outcome.code, outcome.out) == (0, "old\nnew\n")
    assert outcome.err == "the worker was lost; attempt 2 begins anew\n"


async def test_a_refusal_is_told_with_its_hint(fake: FakeOrchestratord, llorch: Llorch) -> None:
    refused = {"code": "MODEL_NOT_FOUND", "message": "no nix", "hint": "mix", "retriable": False}
    fake.refusals.append(Refusal(404, refused))
    outcome = await llorch("run", "hi", "--model", "nix")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "llorch: MODEL_NOT_FOUND: no nix\n  mix\n"
