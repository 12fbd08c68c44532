"""The lint: what /metrics says is compared with the contract's own table, kept as a golden file."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from telemetry_core import CONTRACT, Metrics, MetricSpec, Program

GOLDEN = json.loads(Path(__file__).with_name("contract.json").read_text())
OWN = {"telemetry_labels_collapsed_total"}


@pytest.fixture
def both() -> Metrics:
    return Metrics(*Program, constant={"node_id": "n1"})


@pytest.mark.parametrize("program", Program)
def test_the_table_is_the_contract(program: Program) -> None:
    table = {
        spec.name: {"kind": spec.kind, "labels": list(spec.labels)} for spec in CONTRACT[program]
    }
    assert table == GOLDEN[program]


def touch(metrics: Metrics, spec: MetricSpec) -> None:
    labels = {name: f"a-{name}" for name in spec.labels}
    match spec.kind:
        case "counter":
            metrics.counter(spec.name).labels(**labels).inc()
        case "gauge":
            metrics.gauge(spec.name).labels(**labels).set(1)
        case "histogram":
            metrics.histogram(spec.name).labels(**labels).observe(1)


def test_the_exposition_parses_and_has_exactly_the_contract(both: Metrics) -> None:
    for program in Program:
        for spec in CONTRACT[program]:
            touch(both, spec)
    text, content_type = both.expose()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    exposed = {
        (f"{family.name}_total" if family.type == "counter" else family.name): {
            "kind": family.type,
            "labels": sorted(set().union(*(s.labels.keys() for s in family.samples)) - {"le"}),
        }
        for family in text_string_to_metric_families(text.decode())
    }
    for name in OWN:
        assert exposed.pop(name)["kind"] == "counter"
    expected = {
        name: {"kind": metric["kind"], "labels": sorted(metric["labels"])}
        for program in GOLDEN.values()
        for name, metric in program.items()
    }
    assert exposed == expected


def test_sample_lines_begin_with_the_contract_names_letter_by_letter(both: Metrics) -> None:
    for program in Program:
        for spec in CONTRACT[program]:
            touch(both, spec)
    lines = both.expose()[0].decode().splitlines()
    names = {re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")}
    for program in GOLDEN.values():
        for name, metric in program.items():
            suffixes = ("_bucket", "_count", "_sum") if metric["kind"] == "histogram" else ("",)
            assert {name + suffix for suffix in suffixes} <= names
    assert not [name for name in names if name.endswith("_created")]


def test_every_metric_has_a_help_and_a_type_before_its_first_sample(both: Metrics) -> None:
    text = both.expose()[0].decode()
    for program in GOLDEN.values():
        for name, metric in program.items():
            assert f"# TYPE {name} {metric['kind']}\n" in text
            assert re.search(rf"^# HELP {name} \S", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "buckets"),
    [
        ("orchd_first_token_ms", [50, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000]),
        ("orchd_decode_ms", [250, 500, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12000]),
    ],
)
def test_the_buckets_are_those_of_the_contract(name: str, buckets: list[int]) -> None:
    (spec,) = (spec for spec in CONTRACT[Program.ORCHESTRATORD] if spec.name == name)
    assert list(spec.buckets) == buckets


def test_latencies_of_the_control_plane_start_at_a_tenth_of_a_millisecond() -> None:
    specs = {spec.name: spec for spec in CONTRACT[Program.ORCHESTRATORD]}
    for name in ("orchd_admission_latency_ms", "orchd_placement_latency_ms"):
        assert specs[name].buckets[0] == 0.1


def test_a_program_exposes_its_own_metrics_only() -> None:
    text = Metrics(Program.ORCHESTRATORD).expose()[0].decode()
    assert "orchd_nodes" in text
    assert "pool_slots_total" not in text
