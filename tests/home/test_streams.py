"""A task from its request to its last frame, told once and told again."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from demo_model import DEMO, ENDLESS
from telemetry_core import CONTRACT, Program

from .calls import EVENT_STREAM, Api, check_grammar, text_of
from .daemons import Daemon, Place, Pool

TOKENS = len(DEMO.pieces)


@pytest.fixture(scope="module")
def daemon(shared_place: Callable[..., Place], models: Path) -> Daemon:
    return shared_place(Pool.of(models, DEMO, slots=2), Pool.of(models, ENDLESS, ctx=2048)).start()


@pytest.fixture
def api(daemon: Daemon, connect: Callable[[Daemon], Api]) -> Api:
    return connect(daemon)


async def test_one_request_streams_the_text_and_true_counts(api: Api) -> None:
    frames = await api.run(model_ref="demo", prompt="123", sampling={"temperature": 0})
    check_grammar(frames)
    assert text_of(frames) == DEMO.expected_text()
    end = frames[-1]
    assert end.event == "end"
    assert end.data["finish_reason"] == "stop"
    assert end.data["tokens_out"] in {TOKENS, TOKENS + 1}  # the engine may count the end token
    assert end.data["tokens_in"] in {3, 4}  # a byte is a token; a first one may be added
    assert end.data["decode_ms"] == end.data["decode_time_ms"]
    assert end.data["pool_id"] == "demo"
    assert isinstance(end.data["seed"], int)


async def test_two_requests_give_the_same_stream_as_one(api: Api) -> None:
    accepted = await api.submit(
        model_ref="endless", prompt="1", max_tokens=64, sampling={"temperature": 0}
    )
    task_id = accepted["task_id"]
    assert accepted["streams"]["sse"] == f"/v2/tasks/{task_id}/events"
    frames = await api.read(task_id)
    check_grammar(frames)
    assert frames[0].data["task_id"] == task_id
    assert frames[0].data["attempt"] == 1
    assert text_of(frames) == ENDLESS.expected_text(64)
    assert frames[-1].data["finish_reason"] == "length"
    assert frames[-1].data["tokens_out"] == 64
    status = await api.get(f"/v2/tasks/{task_id}")
    assert status["state"] == "finished"
    assert status["text"] == ENDLESS.expected_text(64)
    assert status["placement"]["pool_id"] == "endless"


async def test_every_frame_can_be_the_last_one_read_before(api: Api) -> None:
    whole = await api.run(model_ref="demo", prompt="1", max_tokens=24, sampling={"temperature": 0})
    task_id = whole[0].data["task_id"]
    for frame in whole[:-1]:
        later = [other for other in whole if other.id > frame.id and other.event != "metrics"]
        again = await api.read(task_id, after=frame.id)
        assert [other for other in again if other.event != "metrics"] == later
    for last in (whole[-1].id, whole[-1].id + 1, 10**17):
        answer = await api.call(
            "GET", f"/v2/tasks/{task_id}/events", headers={"Last-Event-ID": str(last)}
        )
        assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("text", ["x", "-1", "1.0", "", "1" * 19, "\u0661"])
async def test_a_last_event_id_that_is_no_number_is_refused(api: Api, text: str) -> None:
    task = await api.submit(model_ref="demo", prompt="1", max_tokens=1)
    answer = await api.call(
        "GET", f"/v2/tasks/{task['task_id']}/events", headers={"Last-Event-ID": text}
    )
    assert answer.status == 400
    assert answer.json()["code"] == "INVALID_PARAMS"


async def test_readers_at_the_same_time_are_told_the_same(api: Api) -> None:
    task = await api.submit(
        model_ref="endless", prompt="1", max_tokens=500, sampling={"temperature": 0}
    )
    readings = await asyncio.gather(*(api.read(task["task_id"]) for _ in range(8)))
    texts = {text_of(frames) for frames in readings}
    assert texts == {ENDLESS.expected_text(500)}


async def test_a_repeated_request_is_the_same_task(api: Api) -> None:
    task = {
        "task_id": str(uuid4()),
        "model_ref": "demo",
        "prompt": "1",
        "max_tokens": 8,
        "sampling": {"temperature": 0},
    }
    first, second = [await api.submit(**task) for _ in range(2)]
    assert first["task_id"] == second["task_id"] == task["task_id"]
    frames = await api.run(**task)
    assert text_of(frames) == DEMO.expected_text(8)
    assert await api.read(task["task_id"]) == frames
    conflict = await api.call("POST", "/v2/tasks", json={**task, "max_tokens": 9})
    assert (conflict.status, conflict.json()["code"]) == (409, "TASK_CONFLICT")


async def test_a_chat_goes_through_the_models_own_template(api: Api) -> None:
    frames = await api.run(
        model_ref="demo",
        messages=[{"role": "user", "content": [{"type": "text", "text": "Who are you?"}]}],
        sampling={"temperature": 0},
    )
    assert text_of(frames) == DEMO.expected_text()


async def test_a_stop_string_ends_the_text_before_it(api: Api) -> None:
    expected = DEMO.expected_text()
    word = expected.split()[6]
    frames = await api.run(
        model_ref="demo", prompt="1", sampling={"temperature": 0, "stop": [word]}
    )
    assert text_of(frames) == expected[: expected.index(word)]
    assert frames[-1].data["finish_reason"] == "stop"


async def test_a_verbose_stream_has_the_same_frames(api: Api) -> None:
    task = await api.submit(model_ref="demo", prompt="1", max_tokens=4)
    plain = await api.read(task["task_id"])
    async with api.events(task["task_id"], verbose=True) as stream:
        verbose = await stream.rest()
    assert [(f.id, f.event) for f in verbose] == [(f.id, f.event) for f in plain]


async def test_headers_name_task_and_correlation(api: Api) -> None:
    headers = {"X-Correlation-Id": "as-i-say-1", **EVENT_STREAM}
    body = {"model_ref": "demo", "prompt": "1", "max_tokens": 1}
    answer = await api.call("POST", "/v2/tasks", json=body, headers=headers)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["X-Correlation-Id"] == "as-i-say-1"
    assert answer.headers["Location"] == f"/v2/tasks/{answer.headers['X-Task-Id']}"
    assert b'"correlation_id":"as-i-say-1"' in answer.body.replace(b" ", b"")


async def test_a_session_counts_its_turns_and_can_be_forgotten(api: Api) -> None:
    for turn in (1, 2):
        frames = await api.run(model_ref="demo", prompt="1", max_tokens=4, session_id="talk")
        assert frames[-1].event == "end"
        session = await api.get("/v2/sessions/talk")
        assert session["turns"] == turn
    assert session["tokens_out"] == 8
    assert session["kv_bytes"] > 0
    assert 0 < session["ttl_ms_remaining"] <= 600_000
    assert (await api.call("DELETE", "/v2/sessions/talk")).status == 204
    gone = await api.call("GET", "/v2/sessions/talk")
    assert (gone.status, gone.json()["code"]) == (404, "SESSION_NOT_FOUND")


async def test_an_artifact_is_named_by_its_content(api: Api) -> None:
    artifact = {"content": {"b": [1, 2], "a": "é"}, "tags": ["t1"]}
    stored = [await api.call("POST", "/v2/artifacts", json=artifact) for _ in range(2)]
    ids = {answer.json()["id"] for answer in stored}
    assert len(ids) == 1, stored
    (artifact_id,) = ids
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", artifact_id)
    found = await api.get(f"/v2/artifacts/{artifact_id}")
    assert found["content"] == artifact["content"]
    listed = await api.get("/v2/artifacts?tag=t1")
    assert artifact_id in str(listed)


async def test_the_one_node_has_its_models_available(api: Api) -> None:
    found = (await api.get("/v2/catalog/availability"))["models"]
    pools = (await api.get("/v2/pools"))["pools"]
    slots = {pool["model_id"]: pool["slots_total"] for pool in pools}
    assert {each["model_id"]: each["total_capacity"] for each in found} == slots
    assert {each["total_nodes"] for each in found} == {1}


async def test_capabilities_tell_what_is_served_and_that_it_is_the_cpu(api: Api) -> None:
    told = await api.get("/v2/meta/capabilities")
    assert "cpu" in str(told["device_policy"])
    assert "llamacpp" in str(told)
    version = await api.get("/v2/meta/version")
    assert version


async def test_metrics_parse_and_count(api: Api) -> None:
    before = await _metrics(api)
    await api.run(model_ref="demo", prompt="1", max_tokens=4, sampling={"temperature": 0})
    after = await _metrics(api)

    def grown(name: str) -> float:
        def total(samples: dict[str, float]) -> float:
            return sum(value for key, value in samples.items() if key.startswith(name))

        return total(after) - total(before)

    assert grown("orchd_tasks_dispatched_total") == 1
    assert grown("orchd_tasks_finished_total") == 1
    assert grown("orchd_tokens_out_total") == 4


OUT_OF_REACH = {
    "no task is refused or loses its engine": {
        "orchd_admission_rejected_total",
        "orchd_task_failovers_total",
        "pool_engine_restarts_total",
    },
    "nobody drains or reloads a pool": {"pool_drain_duration_ms", "pool_reload_duration_ms"},
    "HOME has no other nodes, and its engines are called without a relay": {
        "orchd_nodes",
        "orchd_node_report_age_ms",
        "pool_relay_bytes_total",
    },
    "the one HTTP server of HOME is counted as orchestratord's": {
        "pool_http_requests_total",
        "pool_http_request_duration_ms",
    },
    "it runs on the CPU, and a GPU seldom errs": {
        "gpu_errors_total",
        "gpu_utilization_percent",
        "gpu_vram_used_bytes",
    },
    "no pool swaps models": {
        "model_cache_hits_total",
        "model_cache_misses_total",
        "model_cache_size_bytes",
    },
}
"""Metrics of the contract that a small life of HOME does not write, by the reason."""


async def test_a_small_life_writes_every_metric_that_is_in_reach(api: Api) -> None:
    await api.run(model_ref="demo", prompt="1", max_tokens=4)
    shown = await _metrics(api)
    unwritten = {
        spec.name
        for program in Program
        for spec in CONTRACT[program]
        if not any(re.match(rf"{spec.name}(_count)?({{|$)", series) for series in shown)
    }
    assert unwritten <= set[str]().union(*OUT_OF_REACH.values())
    assert shown['orchd_pool_health_checks_total{outcome="healthy",pool_id="demo"}'] > 0


async def _metrics(api: Api) -> dict[str, float]:
    answer = await api.call("GET", "/metrics")
    assert answer.status == 200
    line = re.compile(r'([a-z_:]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})?) ([-+0-9.eEInfNa]+)')
    samples = {}
    for text in answer.body.decode().splitlines():
        if text and not text.startswith("#"):
            found = line.fullmatch(text)
            assert found, f"not a sample: {text}"
            assert found[1] not in samples, f"twice: {text}"
            samples[found[1]] = float(found[2])
    return samples
