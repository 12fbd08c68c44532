"""Estimates are None without measurements and plain arithmetic with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core import (
    DrainRate,
    ServiceTimes,
    deadline_feasible,
    finish_ms,
    on_time_probability,
    predicted_start_ms,
)


def measured(*totals_ms: float, tokens: int = 11, first_token_ms: float = 0) -> ServiceTimes:
    times = ServiceTimes()
    for total_ms in totals_ms:
        times.record(first_token_ms, total_ms, tokens)
    return times


def test_without_measurements_nothing_is_known_but_that_a_free_slot_starts_now():
    times = ServiceTimes()
    assert predicted_start_ms(times, 0, [], 1) == 0
    assert predicted_start_ms(times, 0, [5], 1) is None
    assert finish_ms(times, 0, [], 1) is None
    assert on_time_probability(times, 0, [], 1, remaining_ms=1) is None
    assert deadline_feasible(times, 50, [1], 1, remaining_ms=1)


def test_a_start_waits_for_the_running_tasks_and_the_rounds_before_it():
    times = measured(100)
    assert predicted_start_ms(times, 0, [30], 1) == 70
    assert predicted_start_ms(times, 1, [30], 1) == 170
    assert predicted_start_ms(times, 0, [30, 60], 2) == 40
    assert predicted_start_ms(times, 1, [30, 60], 2) == 70
    assert predicted_start_ms(times, 2, [30, 60], 2) == 140
    assert predicted_start_ms(times, 0, [250], 1) == 0
    assert predicted_start_ms(times, 0, [], 0) is None


def test_expected_tokens_scale_the_decode_time_only():
    times = measured(110, first_token_ms=10)
    assert times.service_ms(0.5) == 110
    assert times.service_ms(0.5, expected_tokens=21) == 210
    assert times.service_ms(0.5, expected_tokens=1) == 10


def test_newer_tasks_weigh_more():
    times = ServiceTimes(window=100, half_life=5)
    for total_ms in [1000] * 50 + [10] * 10:
        times.record(0, total_ms, 1)
    assert times.service_ms(0.5) == 10
    assert len(times) == 60


def test_a_deadline_is_refused_only_when_the_optimistic_estimate_misses():
    times = measured(*range(100, 1100, 10))
    optimistic = times.service_ms(0.1)
    assert deadline_feasible(times, 0, [], 1, remaining_ms=optimistic)
    assert not deadline_feasible(times, 0, [], 1, remaining_ms=optimistic - 1)
    assert on_time_probability(times, 0, [], 1, remaining_ms=10_000) == 1.0
    assert on_time_probability(times, 0, [], 1, remaining_ms=0) == 0.0


@given(
    totals=st.lists(st.floats(1, 10_000), min_size=1, max_size=40),
    position=st.integers(0, 20),
    ages=st.lists(st.floats(0, 10_000), max_size=4),
    remaining_ms=st.floats(0, 100_000),
)
def test_more_before_it_or_less_time_never_makes_a_task_likelier(
    totals, position, ages, remaining_ms
):
    times = measured(*totals)
    slots = len(ages) or 1
    now = on_time_probability(times, position, ages, slots, remaining_ms=remaining_ms)
    later = on_time_probability(times, position + 1, ages, slots, remaining_ms=remaining_ms)
    hasty = on_time_probability(times, position, ages, slots, remaining_ms=remaining_ms / 2)
    assert 0 <= later <= now <= 1
    assert hasty <= now


@pytest.mark.parametrize(("waiting", "expected_ms"), [(1, 1_000), (40, 5_000), (4_000, 60_000)])
def test_retry_after_follows_the_measured_drain_rate_within_its_bounds(waiting, expected_ms):
    drain = DrainRate()
    for n in range(20):
        drain.record(n * 500, waited_ms=9_999 if n else 500)
    assert drain.retry_after_ms(10_000, waiting) == expected_ms


def test_an_hour_without_work_does_not_look_like_a_slow_queue():
    drain = DrainRate()
    for hour in range(5):
        drain.record(hour * 3_600_000, waited_ms=0)
    assert drain.retry_after_ms(4 * 3_600_000, 100) == 1_000


def test_before_any_departure_the_oldest_running_task_stands_for_the_rate():
    drain = DrainRate()
    assert drain.retry_after_ms(0, 4) == 1_000
    assert drain.retry_after_ms(0, 8, oldest_running_ms=4_000) == 8_000
