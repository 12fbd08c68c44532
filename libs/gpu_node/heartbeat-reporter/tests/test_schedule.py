import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_reporter import HeartbeatSettings, pause_s

SETTINGS = HeartbeatSettings()


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 9.0), (0.5, 10.0), (1.0, 11.0)])
def test_the_interval_is_jittered_by_a_tenth(chance, seconds):
    assert pause_s(SETTINGS, 10_000, 0, chance) == pytest.approx(seconds)


def test_pauses_between_failures_double_up_to_the_interval():
    pauses = [pause_s(SETTINGS, 10_000, failures, 0.5) for failures in range(1, 9)]
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10, 10]


@given(st.integers(1, 86_400_000), st.integers(0, 10_000), st.floats(0, 1))
def test_no_pause_is_longer_than_the_jittered_interval(interval_ms, failures, chance):
    seconds = pause_s(SETTINGS, interval_ms, failures, chance)
    assert 0 < seconds <= interval_ms * 1.1 / 1000 + 1e-9


def test_several_heartbeats_fit_into_the_time_after_which_a_node_is_offline():
    """However unlucky the jitter: 30 s without a word make a node offline."""
    assert 2 * pause_s(SETTINGS, 10_000, 0, 1.0) < 30
    assert sum(pause_s(SETTINGS, 10_000, failures, 1.0) for failures in range(1, 6)) < 30
