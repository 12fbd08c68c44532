"""How costs grow: ratios, which a slow or busy machine does not change."""

import pytest
from benchmarks import micro


@pytest.mark.parametrize("measure", [micro.decide_us, micro.place_us])
def test_a_placement_among_very_many_replicas_costs_what_one_among_few_does(
    measure: object,
) -> None:
    assert callable(measure)
    assert micro.growth(measure, 10, 3_000) < 3


def test_a_placement_by_estimates_costs_the_same_among_very_many_replicas() -> None:
    assert micro.growth(micro.score_us, 100, 1_000) < 3


def test_a_placement_by_estimates_costs_so_many_plain_ones_and_no_more() -> None:
    """One of those takes 1.4 µs where nothing else runs: together they stay under 100 µs."""
    assert micro.score_us(1_000) < 70 * micro.decide_us(1_000)


@pytest.mark.parametrize("measure", [micro.queue_us, micro.position_us])
def test_a_queue_of_very_many_is_as_quick_as_one_of_few(measure: object) -> None:
    assert callable(measure)
    assert micro.growth(measure, 100, 30_000) < 3


def test_frames_and_reads_cost_less_a_token_the_more_tokens_they_hold() -> None:
    assert micro.growth(micro.encode_us, 1, 64) < 16
    assert micro.growth(micro.decode_us, 1, 64) < 64


def test_a_heartbeat_to_a_registry_of_very_many_nodes_costs_what_one_to_few_does() -> None:
    assert micro.growth(micro.heartbeat_us, 10, 1_000) < 3
