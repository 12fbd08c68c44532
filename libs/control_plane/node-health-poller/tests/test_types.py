import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_health_poller import Freshness, PollSettings, freshness, pause_s

SETTINGS = PollSettings()


@pytest.mark.parametrize(
    ("age_ms", "worth"),
    [
        (0, "fresh"),
        (11_999, "fresh"),
        (12_000, "stale"),
        (29_999, "stale"),
        (30_000, "absent"),
        (None, "absent"),
    ],
)
def test_a_status_loses_its_worth_with_age(age_ms, worth):
    assert freshness(SETTINGS, age_ms) is Freshness(worth)


def test_one_lost_poll_does_not_make_a_status_stale():
    settings = PollSettings()
    two_polls_s = pause_s(settings, 0, 1.0) + pause_s(settings, 1, 1.0)
    assert pause_s(settings, 0, 1.0) * 2 * 1000 < settings.stale_after_ms
    assert two_polls_s * 1000 < settings.absent_after_ms


def test_a_node_that_does_not_answer_is_asked_less_often():
    assert [pause_s(SETTINGS, failures, 0.5) for failures in range(5)] == [5, 10, 20, 20, 20]


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_pause_is_jittered_by_a_tenth_and_capped(failures, chance):
    assert 4.5 <= pause_s(SETTINGS, failures, chance) <= 22


def test_a_cap_below_the_interval_does_not_hurry():
    settings = PollSettings(interval_ms=60_000)
    assert pause_s(settings, 3, 0.5) == 60
