"""All metrics of a program on a registry of its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from telemetry_core.contract import CONTRACT, MetricSpec, Program
from telemetry_core.errors import UnknownMetricError
from telemetry_core.facts import Fact, Facts
from telemetry_core.families import Family
from telemetry_core.tallies import TallyCounter, TallyGauge, TallyHistogram


class Metrics:
    """The metrics of one program, or of both in HOME.

    `constant` fills in labels that are the same on every series, such as node_id. Updates are
    in memory and may come from any thread.
    """

    def __init__(
        self,
        *programs: Program,
        constant: Mapping[str, str] | None = None,
        max_values: int = 256,
        max_series: int = 2048,
    ) -> None:
        self._families: dict[str, Family[Any]] = {
            spec.name: Family(
                spec,
                _build(spec),
                defaults=constant or {},
                max_values=max_values,
                max_series=max_series,
            )
            for program in programs
            for spec in CONTRACT[program]
        }
        self._facts: list[Facts[Any]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_ContractCollector(self._families.values(), self.settle))

    def counter(self, name: str) -> Family[Counter]:
        """Give a counter of the contract."""
        return self._family(name, "counter")

    def gauge(self, name: str) -> Family[Gauge]:
        """Give a gauge of the contract."""
        return self._family(name, "gauge")

    def histogram(self, name: str) -> Family[TallyHistogram]:
        """Give a histogram of the contract."""
        return self._family(name, "histogram")

    def facts(self, count: Callable[[Sequence[Fact]], None]) -> Facts[Fact]:
        """Take facts that `count` turns into numbers, many in one go and before each reading."""
        facts = Facts(count)
        self._facts.append(facts)
        return facts

    def settle(self) -> None:
        """Count all facts that wait."""
        for facts in self._facts:
            facts.settle()

    def expose(self) -> tuple[bytes, str]:
        """Write the text exposition for `/metrics`, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def _family(self, name: str, kind: str) -> Family[Any]:
        family = self._families.get(name)
        if family is None or family.spec.kind != kind:
            raise UnknownMetricError(f"The contract has no {kind} {name!r} for this program.")
        return family


class _ContractCollector(Collector):
    """Exposes the families, and what their bounds have swallowed."""

    def __init__(self, families: Iterable[Family[Any]], settle: Callable[[], None]) -> None:
        self._families = tuple(families)
        self._settle = settle

    def collect(self) -> Iterable[Metric]:
        self._settle()
        collapsed = CounterMetricFamily(
            "telemetry_labels_collapsed",
            "Lookups counted under `other`, because the metric has all the series it may have.",
            labels=["metric"],
        )
        for family in self._families:
            yield from family.collect()
            if family.collapsed:
                collapsed.add_metric([family.spec.name], family.collapsed)
        yield collapsed


def _build(spec: MetricSpec) -> Counter | Gauge | TallyHistogram:
    if spec.kind == "counter":
        return TallyCounter(spec.name, spec.help, spec.labels, registry=None)
    if spec.kind == "gauge":
        return TallyGauge(spec.name, spec.help, spec.labels, registry=None)
    return TallyHistogram(spec.name, spec.help, spec.labels, registry=None, buckets=spec.buckets)
