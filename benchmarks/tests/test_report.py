"""Results as a page, those of earlier runs among them."""

from typing import Any

import pytest
from benchmarks.report import brief

EARLIER: dict[str, Any] = {
    "open loop": {"asked_per_s": 1000, "longest_stall_ms": 36.1},
    "closed loop": {"per_s": 655},
}
STAGES: dict[str, Any] = {"admission": {"p50": 0.4, "p99": 8.9, "count": 10.0}}
STALLS: dict[str, Any] = {
    "over_10_ms": 1,
    "over_50_ms": 0,
    "longest": [
        {"ms": 12.5, "on_core_ms": 2.0, "collector_ms": 0.0, "at_s": 3.0, "stack": "log._wake:1"}
    ],
    "longest_on_a_core": None,
    "collections": {"young": 4},
    "longest_collection_ms": 1.5,
}


def test_a_run_before_stages_and_stalls_were_measured_is_still_told() -> None:
    assert brief("rate", EARLIER).splitlines() == [
        "- asked per s: 1,000",
        "- longest stall ms: 36.1",
        "- closed loop: per s 655",
    ]


@pytest.mark.parametrize(
    ("measured", "row"),
    [
        ({"stages_ms": STAGES}, "| admission | 0.4 | 8.9 | 10 |"),
        ({"event_loop": STALLS}, "| 12.5 | 2.0 | 0.0 | 3.0 | `log._wake:1` |"),
    ],
)
def test_what_a_run_measured_has_its_table(measured: dict[str, Any], row: str) -> None:
    told = brief("rate", {**EARLIER, "open loop": measured})
    assert row in told.splitlines()
    assert told.endswith("- closed loop: per s 655")


def test_the_calls_of_each_kind_of_task_are_columns_of_one_table() -> None:
    told = brief("calls", {"native": {"C": 40.1, "ours": 30.0}, "relayed": {"C": 20.0}})
    assert told.splitlines() == [
        "| calls of functions in | native | relayed |",
        "|---|---|---|",
        "| C | 40.1 | 20.0 |",
        "| ours | 30.0 |  |",
        "| together | 70 | 20 |",
    ]
