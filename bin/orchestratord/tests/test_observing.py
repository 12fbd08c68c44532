"""What tasks and requests leave in metrics and logs."""

import asyncio
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_host import Outcome, ReplicaKey
from admission_coordinator import EventLog, Task
from api_types import ApiError, ErrorCode, TaskError, TaskRequest
from local_pool_manager import ChangeOutcome, PoolCourse
from narration_core import LogSettings, configure
from orchestrator_core import Constraint, Preferences
from orchestratord.observing import (
    FanOut,
    HttpMetrics,
    PoolGauges,
    TaskMetrics,
    TaskNarrator,
    UpstreamMetrics,
    route_of,
)
from orchestratord.testing import FakePools
from telemetry_core import MANY, Facts, Metrics, PoolMetrics, Program


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Program.ORCHESTRATORD, Program.POOL_MANAGERD, constant={"node_id": "node"})


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure(LogSettings(format="json"), stream=stream)
    yield stream
    configure(LogSettings(format="json"), stream=io.StringIO())


def a_task() -> Task:
    return Task(
        task_id="0a9e8c3e-53d9-4d9e-9b3b-4c9f5c1e7a10",
        number=1,
        identity="localhost",
        correlation_id="corr",
        traceparent=None,
        request=TaskRequest(prompt="a secret prompt"),
        model_id="recital",
        log=EventLog(max_bytes=1000),
        constraint=Constraint(model_id="recital"),
        preferences=Preferences(),
        size_bytes=10,
        created_ms=1_000,
    )


def run_through(observer: FanOut, task: Task) -> None:
    task.told_position = 3
    observer.admitted(task)
    task.engine_version = "1.2"
    task.pool_id, task.replica_id, task.dispatched_ms = "default", "r0", 1_100
    observer.dispatched(task)
    task.first_token_at_ms = 1_200
    observer.first_token(task)
    task.ended_ms, task.tokens_in, task.tokens_out, task.finish_reason = 1_700, 5, 7, "stop"
    observer.ended(task)


def exposed(metrics: Metrics) -> list[str]:
    return metrics.expose()[0].decode().splitlines()


def test_a_finished_task_is_counted_once_everywhere(metrics: Metrics) -> None:
    run_through(FanOut(TaskMetrics(metrics)), a_task())
    text = exposed(metrics)
    assert 'orchd_admission_enqueued_total{outcome="enqueued",pool_id="any"} 1.0' in text
    assert 'orchd_tasks_dispatched_total{outcome="dispatched",pool_id="default"} 1.0' in text
    assert 'orchd_tasks_finished_total{outcome="finished",pool_id="default"} 1.0' in text
    assert 'orchd_tokens_in_total{pool_id="default"} 5.0' in text
    assert 'orchd_tokens_out_total{pool_id="default"} 7.0' in text
    assert 'orchd_first_token_ms_sum{pool_id="default",priority="interactive"} 200.0' in text
    assert 'orchd_decode_ms_sum{pool_id="default",priority="interactive"} 500.0' in text


def depth(metrics: Metrics) -> float:
    (line,) = (x for x in exposed(metrics) if x.startswith("orchd_admission_queue_depth{"))
    return float(line.split()[-1])


def test_the_queue_depth_follows_each_task(metrics: Metrics) -> None:
    observer, first, second = TaskMetrics(metrics), a_task(), a_task()
    second.task_id = "another"
    observer.admitted(first)
    observer.admitted(second)
    assert depth(metrics) == 2
    first.pool_id = "default"
    observer.dispatched(first)
    assert depth(metrics) == 1
    first.pool_id = None
    observer.put_back(first, ErrorCode.WORKER_RESET)
    assert depth(metrics) == 2
    observer.ended(first)
    second.pool_id = "default"
    observer.dispatched(second)
    observer.ended(second)
    assert depth(metrics) == 0


def lead_through(observer: TaskMetrics, course: list[tuple[str, str, bool]]) -> Iterator[None]:
    """Put a task back from one pool after the other; it ends on the last, or waiting again."""
    task = a_task()
    observer.admitted(task)
    yield
    for pool_id, cause, begins in course:
        task.pool_id, task.dispatched_ms, task.placement_ms = pool_id, 1_100, 0.5
        observer.dispatched(task)
        yield
        if begins:
            task.first_token_at_ms, task.handover_ms = 1_300, 1.5
            observer.first_token(task)
            yield
        if cause == "stop":
            task.ended_ms, task.tokens_in, task.tokens_out = 1_700, 5, 7
            break
        task.pool_id = task.dispatched_ms = None
        observer.put_back(task, cause)
        yield
    else:
        task.error = TaskError(code="QUEUE_FULL_DROP_LRU", message="dropped", retriable=True)
    observer.ended(task)
    yield


COURSES = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["one", "two"]),
            st.sampled_from(["stop", "WORKER_RESET"]),
            st.booleans(),
        ),
        max_size=3,
    ),
    max_size=4,
)


@given(COURSES)
def test_it_makes_no_difference_to_the_numbers_when_somebody_reads_them(
    courses: list[list[tuple[str, str, bool]]],
) -> None:
    read_often, read_once = Metrics(Program.ORCHESTRATORD), Metrics(Program.ORCHESTRATORD)
    watched, unwatched = TaskMetrics(read_often), TaskMetrics(read_once)
    for course in courses:
        for _step in lead_through(watched, course):
            read_often.settle()
        for _step in lead_through(unwatched, course):
            pass
    assert sorted(exposed(read_often)) == sorted(exposed(read_once))
    if courses:
        assert depth(read_once) == 0


def test_what_waits_to_be_counted_stays_small_when_nobody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = list[Facts[Any]]()
    metrics = Metrics(Program.ORCHESTRATORD)
    make = metrics.facts

    def noting(count: Callable[[Sequence[Any]], None]) -> Facts[Any]:
        kept.append(make(count))
        return kept[-1]

    monkeypatch.setattr(metrics, "facts", noting)
    tasks, http, upstream = TaskMetrics(metrics), HttpMetrics(metrics), UpstreamMetrics(metrics)
    for _ in range(3 * MANY):
        http.stream_opened()
        http.task_admitted(0.3)
        run_through(FanOut(tasks), a_task())
        upstream.engine_called(ReplicaKey("default", "r0"), Outcome.SUCCESS)
        http.stream_closed()
        http.request_finished("/v2/tasks", method="POST", status=200, duration_ms=1.5)
        assert max(len(facts.waiting) for facts in kept) <= 2 * MANY
    text = exposed(metrics)
    assert f"orchd_admission_latency_ms_count {3.0 * MANY}" in text
    assert f'orchd_tokens_out_total{{pool_id="default"}} {21.0 * MANY}' in text
    assert "orchd_sse_subscribers 0.0" in text


def test_calls_of_a_peer_that_has_left_do_not_come_back(metrics: Metrics) -> None:
    upstream = UpstreamMetrics(metrics)
    upstream.engine_called(ReplicaKey("default", "r0"), Outcome.SUCCESS)
    upstream.forget("default")
    assert not [line for line in exposed(metrics) if 'peer="default"' in line]


def test_a_dropped_task_counts_as_rejected(metrics: Metrics) -> None:
    observer, task = TaskMetrics(metrics), a_task()
    observer.admitted(task)
    task.error = TaskError(code="QUEUE_FULL_DROP_LRU", message="dropped", retriable=True)
    observer.ended(task)
    wanted = 'orchd_admission_rejected_total{pool_id="any",reason="QUEUE_FULL_DROP_LRU"} 1.0'
    assert wanted in exposed(metrics)


def test_a_refusal_is_counted_by_its_code(metrics: Metrics) -> None:
    error = ApiError(ErrorCode.ADMISSION_REJECT, "full")
    TaskMetrics(metrics).refused(error, model_id="recital", identity="localhost")
    wanted = 'orchd_admission_rejected_total{pool_id="any",reason="ADMISSION_REJECT"} 1.0'
    assert wanted in exposed(metrics)


def test_requests_and_streams_are_counted(metrics: Metrics) -> None:
    pools = PoolGauges(metrics, FakePools().snapshots)
    observer = HttpMetrics(metrics, refresh=pools.refresh)
    for _ in range(2):
        observer.request_finished("/v2/pools", method="GET", status=200, duration_ms=1.5)
    observer.stream_opened()
    observer.task_admitted(0.3)
    text = observer.exposition()[0].decode().splitlines()
    wanted = 'orchd_http_requests_total{method="GET",route="/v2/pools",status="200"} 2.0'
    assert wanted in text
    assert "orchd_sse_subscribers 1.0" in text
    assert 'pool_ready{node_id="node",pool_id="default"} 1.0' in text
    assert 'orchd_pools_available{pool_id="default"} 1.0' in text


def test_each_step_of_a_task_is_a_line_with_a_sentence(lines: io.StringIO) -> None:
    run_through(FanOut(TaskNarrator()), a_task())
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["event"] for line in told] == [
        "task_admitted",
        "task_dispatched",
        "task_first_token",
        "task_ended",
    ]
    assert {line["correlation_id"] for line in told} == {"corr"}
    assert all(line["human"] and "0a9e8c3e" not in line["human"] for line in told)
    assert told[-1]["tokens_out"] == 7
    assert told[0]["queue_position"] == 3
    assert "2 before it" in told[0]["human"]
    assert (told[1]["queue_position"], told[1]["predicted_start_ms"]) == (0, 0)
    assert {line["engine_version"] for line in told[1:]} == {"1.2"}
    assert {line["attempt"] for line in told} == {1}
    assert "secret prompt" not in lines.getvalue()


def test_a_mistake_of_ours_is_an_error_with_its_traceback(lines: io.StringIO) -> None:
    observer, task = TaskNarrator(), a_task()
    observer.admitted(task)
    task.crash = RuntimeError("a bug")
    observer.ended(task)
    line = json.loads(lines.getvalue().splitlines()[-1])
    assert (line["level"], line["event"]) == ("error", "task_crashed")
    assert "a bug" in line["exception"]


def test_the_course_of_a_pool_is_told_and_measured(metrics: Metrics, lines: io.StringIO) -> None:
    (base,) = FakePools().snapshots()
    now_ms = [1_000]
    seen = {"pool": base}
    course = PoolCourse(PoolMetrics(metrics), lambda _id: seen["pool"], now_ms=lambda: now_ms[0])

    def become(after_ms: int, **changes: object) -> None:
        now_ms[0] += after_ms
        seen["pool"] = seen["pool"].model_copy(update=changes)
        course.look(base.pool_id)

    become(0, ready=True, active_leases=1)
    become(10, ready=False, draining=True)
    become(250, active_leases=0)
    become(5, ready=True, draining=False)
    become(5, ready=False, last_error="the engine died")
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["event"] for line in told] == [
        *("pool_ready", "pool_draining", "pool_drained"),
        *("pool_resumed", "pool_ready", "pool_not_ready"),
    ]
    assert told[-1]["human"] == f"Pool {base.pool_id} is not ready: the engine died"
    (total,) = (line for line in exposed(metrics) if line.startswith("pool_drain_duration_ms_sum"))
    assert 'outcome="emptied"' in total
    assert total.endswith(" 250.0")


async def test_a_change_of_models_is_measured_by_its_outcome(
    metrics: Metrics, lines: io.StringIO
) -> None:
    (base,) = FakePools().snapshots()
    course = PoolCourse(PoolMetrics(metrics), lambda _id: base, now_ms=lambda: 0)
    loop = asyncio.get_running_loop()
    for error in (None, "it is no GGUF file"):
        outcome: asyncio.Future[ChangeOutcome] = loop.create_future()
        course.follow_reload(base.pool_id, "file:/new.gguf", outcome)
        outcome.set_result(ChangeOutcome("file:/new.gguf", error))
        await asyncio.sleep(0)
    told = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    assert told == ["pool_reloading", "pool_reloaded", "pool_reloading", "pool_reload_failed"]
    counts = [line for line in exposed(metrics) if "pool_reload_duration_ms_count" in line]
    assert sorted(re.findall(r'outcome="(\w+)"', "".join(counts))) == ["changed", "rolled_back"]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/pools", "/v2/pools"),
        ("/v2/pools/chat/drain", "/v2/pools/{pool_id}/drain"),
        ("/v2/catalog/models/a%2Fb?purge=true", "/v2/catalog/models/{model_id}"),
        ("/v2/catalog/gc/plan", "/v2/catalog/gc/plan"),
    ],
)
def test_a_route_has_no_names_of_what_was_asked_for(path: str, route: str) -> None:
    assert route_of(path) == route
