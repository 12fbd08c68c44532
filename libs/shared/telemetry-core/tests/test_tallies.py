import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from telemetry_core.tallies import TallyCounter, TallyGauge, TallyHistogram

AMOUNTS = st.integers(0, 1000)
HALVES = st.integers(0, 400).map(lambda number: number / 2)
"""Of which no sum is rounded, in whatever order."""
READ = st.just(("read", 0))


def exposed(*metrics: MetricWrapperBase) -> list[bytes]:
    texts = []
    for metric in metrics:
        registry = CollectorRegistry()
        registry.register(metric)
        lines = generate_latest(registry).splitlines()
        texts.append(b"\n".join(line for line in lines if b"_created" not in line))
    return texts


def follow(
    steps: list[tuple[str, int]], ours: MetricWrapperBase, theirs: MetricWrapperBase
) -> None:
    for method, amount in steps:
        if method == "read":
            mine, other = exposed(ours, theirs)
            assert mine == other
        else:
            for metric in (ours, theirs):
                getattr(metric.labels("a"), method)(amount)
    mine, other = exposed(ours, theirs)
    assert mine == other


@given(st.lists(st.tuples(st.just("inc"), AMOUNTS) | READ))
def test_a_counter_tells_what_the_client_library_would(steps: list[tuple[str, int]]) -> None:
    follow(
        steps,
        TallyCounter("n", "help", ["l"], registry=None),
        Counter("n", "help", ["l"], registry=None),
    )


@given(st.lists(st.tuples(st.sampled_from(["inc", "dec", "set"]), AMOUNTS) | READ))
def test_a_gauge_tells_what_the_client_library_would(steps: list[tuple[str, int]]) -> None:
    follow(
        steps,
        TallyGauge("n", "help", ["l"], registry=None),
        Gauge("n", "help", ["l"], registry=None),
    )


@given(st.lists(st.tuples(st.just("observe"), AMOUNTS) | READ))
def test_a_histogram_tells_what_the_client_library_would(steps: list[tuple[str, int]]) -> None:
    buckets = (1, 10, 100)
    follow(
        steps,
        TallyHistogram("n", "help", ["l"], registry=None, buckets=buckets),
        Histogram("n", "help", ["l"], registry=None, buckets=buckets),
    )


@given(st.lists(HALVES), HALVES)
def test_many_values_at_once_are_the_same_as_each_of_them(
    amounts: list[float], before: float
) -> None:
    buckets = (1, 10, 100)
    ours = TallyHistogram("n", "help", registry=None, buckets=buckets)
    theirs = Histogram("n", "help", registry=None, buckets=buckets)
    for metric in (ours, theirs):
        metric.observe(before)
    ours.observe_all(amounts)
    for amount in amounts:
        theirs.observe(amount)
    mine, other = exposed(ours, theirs)
    assert mine == other


def test_a_counter_never_falls() -> None:
    with pytest.raises(ValueError, match="-1"):
        TallyCounter("n", "help", registry=None).inc(-1)
