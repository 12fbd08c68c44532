"""Percentiles out of what a daemon exposes."""

import math

import pytest
from benchmarks.exposition import Histogram, histograms

TEXT = """# TYPE wait_ms histogram
wait_ms_bucket{le="1.0",pool_id="a"} 10.0
wait_ms_bucket{le="10.0",pool_id="a"} 10.0
wait_ms_bucket{le="+Inf",pool_id="a"} 10.0
wait_ms_bucket{pool_id="b",le="1.0"} 0.0
wait_ms_bucket{pool_id="b",le="10.0"} 9.0
wait_ms_bucket{pool_id="b",le="+Inf"} 10.0
wait_ms_count{pool_id="a"} 10.0
"""


def test_all_series_of_a_metric_are_one_histogram() -> None:
    assert histograms(TEXT)["wait_ms"].counts == {1.0: 10.0, 10.0: 19.0, math.inf: 20.0}


def test_a_percentile_lies_within_the_bucket_that_holds_it() -> None:
    found = histograms(TEXT)["wait_ms"]
    assert found.percentile(0.25) == pytest.approx(0.5)
    assert found.percentile(0.5) == 1.0
    assert 1.0 < found.percentile(0.7) < 10.0
    assert found.percentile(1.0) == 10.0  # All that is known of the last: it is no less.


def test_what_was_before_does_not_count() -> None:
    found = histograms(TEXT)["wait_ms"]
    later = Histogram({bound: 2 * count for bound, count in found.counts.items()})
    assert later.since(found).counts == found.counts
    assert math.isnan(found.since(found).percentile(0.99))
