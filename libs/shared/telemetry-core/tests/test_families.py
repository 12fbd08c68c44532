import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from telemetry_core import OTHER, Metrics, Program, UnknownMetricError, WrongLabelsError


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Read the samples with this exact name back from the exposition."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.expose()[0].decode())
        for sample in family.samples
        if sample.name == name
    }


def test_a_child_is_looked_up_once_and_counts() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    tokens = metrics.counter("orchd_tokens_out_total")
    child = tokens.labels(pool_id="a")
    child.inc(3)
    assert tokens.labels(pool_id="a") is child
    assert samples(metrics, "orchd_tokens_out_total") == {("a",): 3.0}


def test_a_metric_without_labels_is_its_own_child() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    metrics.gauge("orchd_sse_subscribers").labels().set(2)
    assert samples(metrics, "orchd_sse_subscribers") == {(): 2.0}


def test_labels_that_the_program_has_set_may_be_left_out() -> None:
    metrics = Metrics(Program.POOL_MANAGERD, constant={"node_id": "n1"})
    metrics.gauge("pool_slots_total").labels(pool_id="a").set(4)
    assert samples(metrics, "pool_slots_total") == {("n1", "a"): 4.0}


@pytest.mark.parametrize("labels", [{}, {"pool": "a"}, {"pool_id": "a", "x": "y"}])
def test_other_labels_than_the_contract_has_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(WrongLabelsError, match="orchd_tokens_out_total"):
        Metrics(Program.ORCHESTRATORD).counter("orchd_tokens_out_total").labels(**labels)


def test_a_metric_outside_the_contract_or_of_another_kind_is_refused() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    for ask in (
        lambda: metrics.counter("orchd_made_up_total"),
        lambda: metrics.gauge("orchd_tokens_out_total"),
        lambda: metrics.gauge("pool_ready"),
    ):
        with pytest.raises(UnknownMetricError):
            ask()


def test_values_past_the_bound_are_counted_under_other() -> None:
    metrics = Metrics(Program.ORCHESTRATORD, max_values=2)
    requests = metrics.counter("orchd_http_requests_total")
    for method in ("GET", "POST", "BREW", "PROPFIND", "GET"):
        requests.labels(route="/v2/tasks", method=method, status="200").inc()
    counted = samples(metrics, "orchd_http_requests_total")
    assert counted == {
        ("GET", "/v2/tasks", "200"): 2.0,
        ("POST", "/v2/tasks", "200"): 1.0,
        (OTHER, "/v2/tasks", "200"): 2.0,
    }
    assert requests.collapsed == 2
    assert samples(metrics, "telemetry_labels_collapsed_total") == {
        ("orchd_http_requests_total",): 2.0
    }


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=60))
def test_no_traffic_grows_the_series_past_the_bound_and_nothing_is_lost(
    labels: list[tuple[str, str]],
) -> None:
    metrics = Metrics(Program.ORCHESTRATORD, max_values=4, max_series=6)
    rejected = metrics.counter("orchd_admission_rejected_total")
    for pool_id, reason in labels:
        rejected.labels(pool_id=pool_id, reason=reason).inc()
    counted = samples(metrics, "orchd_admission_rejected_total")
    assert len(counted) <= 7
    assert sum(counted.values()) == len(labels)


def test_series_of_a_pool_that_is_gone_are_dropped_and_make_room() -> None:
    metrics = Metrics(Program.POOL_MANAGERD, constant={"node_id": "n1"}, max_values=1)
    ready = metrics.gauge("pool_ready")
    ready.labels(pool_id="old").set(1)
    ready.remove(pool_id="old")
    assert samples(metrics, "pool_ready") == {}
    ready.labels(pool_id="new").set(1)
    assert samples(metrics, "pool_ready") == {("n1", "new"): 1.0}


def test_a_child_that_is_asked_for_again_after_its_removal_counts_anew() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    tokens = metrics.counter("orchd_tokens_out_total")
    tokens.labels(pool_id="a").inc(3)
    tokens.remove(pool_id="a")
    tokens.labels(pool_id="a").inc(2)
    assert samples(metrics, "orchd_tokens_out_total") == {("a",): 2.0}


def test_removing_by_a_label_the_metric_does_not_have_is_refused() -> None:
    with pytest.raises(WrongLabelsError, match="pool"):
        Metrics(Program.ORCHESTRATORD).counter("orchd_tokens_in_total").remove(pool="a")


def test_label_values_from_outside_cannot_break_the_exposition() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    evil = 'a"} 1\nevil_total 9\n# \\'
    metrics.counter("orchd_tokens_in_total").labels(pool_id=evil).inc()
    assert samples(metrics, "orchd_tokens_in_total") == {(evil,): 1.0}
    assert samples(metrics, "evil_total") == {}


def test_two_registries_in_one_process_do_not_meet() -> None:
    first, second = Metrics(Program.ORCHESTRATORD), Metrics(Program.ORCHESTRATORD)
    first.counter("orchd_tokens_in_total").labels(pool_id="a").inc()
    assert samples(second, "orchd_tokens_in_total") == {}


def test_updates_from_many_threads_are_all_counted() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)

    def work() -> None:
        for number in range(500):
            metrics.counter("orchd_tokens_in_total").labels(pool_id=str(number % 5)).inc()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(samples(metrics, "orchd_tokens_in_total").values()) == 2000


def test_a_histogram_counts_as_the_client_library_s_own_does() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    ours = metrics.histogram("orchd_placement_latency_ms").labels()
    theirs = Histogram("theirs", "The same.", registry=None, buckets=ours._upper_bounds)
    for value in (0.0, *ours._upper_bounds[:-1], 0.7, 1e9, -1.0):
        ours.observe(value)
        theirs.observe(value)
    for _ in range(2):  # Reading changes nothing.
        told = [(s.name, s.labels, s.value) for m in ours.collect() for s in m.samples]
        own = [(s.name, s.labels, s.value) for m in theirs.collect() for s in m.samples]
        assert [t[1:] for t in told if "created" not in t[0]] == [
            o[1:] for o in own if "created" not in o[0]
        ]
