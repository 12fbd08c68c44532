"""Sessions: where their turns run, what they may spend, and how they end."""

from collections.abc import Callable
from pathlib import Path

from demo_model import DEMO

from .calls import EVENT_STREAM, Api, eventually
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
