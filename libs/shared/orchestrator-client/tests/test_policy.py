import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_client import NO_RETRY, RECONNECT, RetryPolicy


def test_backoff_doubles_up_to_its_cap() -> None:
    policy = RetryPolicy(attempts=None, base_ms=100, cap_ms=500)
    waits = [policy.delay_ms(n, elapsed_ms=0, jitter=1.0) for n in range(1, 6)]
    assert waits == [100, 200, 400, 500, 500]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_in_the_upper_half_of_the_backoff(failures: int, jitter: float) -> None:
    delay_ms = RECONNECT.delay_ms(failures, elapsed_ms=0, jitter=jitter)
    assert delay_ms is not None
    assert RECONNECT.base_ms / 2 <= delay_ms <= RECONNECT.cap_ms


def test_the_servers_wish_is_never_undercut() -> None:
    assert RetryPolicy().delay_ms(1, elapsed_ms=0, jitter=0, asked_ms=7_000) == 7_000


@pytest.mark.parametrize(
    ("policy", "failures", "elapsed_ms", "asked_ms"),
    [
        (NO_RETRY, 1, 0, None),
        (RetryPolicy(attempts=3), 3, 0, None),
        (RetryPolicy(total_ms=1_000), 1, 950, None),
        (RetryPolicy(total_ms=1_000), 1, 0, 2_000),
    ],
)
def test_it_gives_up_at_its_bounds(
    policy: RetryPolicy, failures: int, elapsed_ms: int, asked_ms: int | None
) -> None:
    assert policy.delay_ms(failures, elapsed_ms=elapsed_ms, jitter=0, asked_ms=asked_ms) is None
