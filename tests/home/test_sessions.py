"""Sessions: where their turns run, what they may spend, how they end, and what is kept of them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo_model import DEMO, ENDLESS

from .calls import EVENT_STREAM, Api, eventually, frames_of
from .daemons import Daemon, Place, Pool

PROMPT = "0123456789" * 10


async def test_the_turns_of_a_session_meet_the_replica_that_knows_them(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(place(Pool.of(models, DEMO, slots=2, ctx=1024, replicas=2)).start())

    async def turn(session_id: str) -> str:
        frames = await api.run(prompt=PROMPT, max_tokens=2, session_id=session_id)
        assert frames[-1].event == "end"
        task = await api.get(f"/v2/tasks/{frames[0].data['task_id']}")
        return str(task["placement"]["replica_id"])

    for session_id in ("one", "two", "three"):
        assert len({await turn(session_id) for _ in range(4)}) == 1
        session = await api.get(f"/v2/sessions/{session_id}")
        assert session["turns"] == 4
        assert session["kv_warmth"] > 0.5, "the engine computed the same prompt again"


async def test_past_its_turns_a_session_starts_anew_and_is_no_error(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(place(Pool.of(models, DEMO, ctx=1024), session_max_turns=2).start())
    for expected in (1, 2, 1):
        frames = await api.run(prompt="1", max_tokens=2, session_id="short")
        assert frames[-1].event == "end"
        assert (await api.get("/v2/sessions/short"))["turns"] == expected


async def test_a_session_that_nobody_uses_is_forgotten(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(place(Pool.of(models, DEMO, ctx=1024), session_ttl_ms=200).start())
    await api.run(prompt="1", max_tokens=2, session_id="brief")

    async def gone() -> bool:
        return (await api.call("GET", "/v2/sessions/brief")).status == 404

    await eventually(gone, "the session forgotten")
    frames = await api.run(prompt="1", max_tokens=2, session_id="brief")
    assert frames[-1].event == "end"


async def test_a_spent_budget_is_a_429_that_no_waiting_heals(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(place(Pool.of(models, DEMO, ctx=1024), session_token_budget=20).start())
    task = {"prompt": "1" * 10, "max_tokens": 15, "session_id": "poor"}
    first = await api.call("POST", "/v2/tasks", json=task, headers=EVENT_STREAM)
    assert first.status == 200
    assert 0 <= int(first.headers["X-Budget-Tokens-Remaining"]) <= 20
    session = await api.get("/v2/sessions/poor")
    assert session["budgets"]["tokens_remaining"] == 0
    for headers in ({}, EVENT_STREAM):
        refused = await api.call("POST", "/v2/tasks", json=task, headers=headers)
        assert (refused.status, refused.json()["code"]) == (429, "BUDGET_EXCEEDED")
        assert refused.json()["retriable"] is False
    other = await api.run(**{**task, "session_id": "rich"})
    assert other[-1].event == "end"


async def test_a_price_makes_a_cost_budget_and_without_one_there_is_none(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    home = place(
        Pool.of(models, DEMO, ctx=1024),
        Pool.of(models, ENDLESS, ctx=1024),
        session_cost_budget=0.05,
        price_per_1k_tokens={"demo": 2.0},
    )
    api = connect(home.start())
    task = {"model_ref": "demo", "prompt": "1" * 10, "max_tokens": 10, "session_id": "frugal"}
    first = await api.call("POST", "/v2/tasks", json=task, headers=EVENT_STREAM)
    assert first.headers["X-Budget-Cost-Remaining"] == "0.03", "10 tokens are set aside"
    end = frames_of(first.body)[-1].data
    budgets = (await api.get("/v2/sessions/frugal"))["budgets"]
    spent = 0.002 * (end["tokens_in"] + end["tokens_out"])
    assert budgets["cost_remaining"] == pytest.approx(0.05 - spent)
    refused = await api.call("POST", "/v2/tasks", json={**task, "max_tokens": 500})
    assert (refused.status, refused.json()["code"]) == (429, "BUDGET_EXCEEDED")
    assert "cost budget" in refused.json()["message"]
    unpriced = await api.call(
        "POST", "/v2/tasks", json={**task, "model_ref": "endless", "max_tokens": 500}
    )
    assert unpriced.status == 202
    assert "X-Budget-Cost-Remaining" not in unpriced.headers


@pytest.mark.parametrize("with_prompts", [False, True], ids=["answers", "with prompts"])
async def test_transcripts_of_ended_tasks_are_artifacts_and_failures_too(
    place: Callable[..., Place],
    models: Path,
    connect: Callable[[Daemon], Api],
    with_prompts: bool,
) -> None:
    settings = {"transcripts": True, **({"transcript_prompts": True} if with_prompts else {})}
    home = place(Pool.of(models, DEMO, ctx=1024), **settings)
    daemon = home.start()
    api = connect(daemon)
    frames = await api.run(prompt="a private question", max_tokens=5, session_id="s")
    failed = await api.run(prompt="9" * 4000, max_tokens=5)
    assert failed[-1].event == "error"

    async def kept() -> list[dict[str, Any]]:
        found = (await api.get("/v2/artifacts?tag=transcript"))["artifacts"]
        return found if len(found) == 2 else []

    await eventually(kept, "two transcripts")
    (one,) = (await api.get("/v2/artifacts?tag=session:s"))["artifacts"]
    content = (await api.get(f"/v2/artifacts/{one['id']}"))["content"]
    events = [(each["id"], each["event"]) for each in content["events"]]
    assert events == [(frame.id, frame.event) for frame in frames]
    assert content["state"] == "finished"
    assert content["tokens"]["out"] == frames[-1].data["tokens_out"]
    assert content["request"].get("prompt") == ("a private question" if with_prompts else None)
    task_id = failed[0].data["task_id"]
    (other,) = (await api.get(f"/v2/artifacts?tag=task:{task_id}"))["artifacts"]
    content = (await api.get(f"/v2/artifacts/{other['id']}"))["content"]
    assert (content["state"], content["error"]["code"]) == ("failed", "INVALID_PARAMS")


async def test_what_a_stop_cuts_short_has_its_transcript_too(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    home = place(Pool.of(models, ENDLESS, ctx=4096), transcripts=True, shutdown_grace_ms=1)
    daemon = home.start()
    async with connect(daemon).open(prompt="1", max_tokens=4000) as stream:
        await stream.until("token")
        assert await asyncio.to_thread(daemon.stop) == 0
        (last,) = [frame for frame in await stream.rest() if frame.event == "error"]
    again = connect(home.start())
    (one,) = (await again.get("/v2/artifacts?tag=transcript"))["artifacts"]
    content = (await again.get(f"/v2/artifacts/{one['id']}"))["content"]
    assert content["events"][-1]["data"]["code"] == last.data["code"] == "SHUTTING_DOWN"
