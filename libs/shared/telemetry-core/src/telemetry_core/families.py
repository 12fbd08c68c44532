"""A metric with its children, and the bound on how many there may be."""

import threading
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from telemetry_core.contract import MetricSpec
from telemetry_core.errors import WrongLabelsError

OTHER = "other"

Child = TypeVar("Child", bound=MetricWrapperBase)


class Family(Generic[Child]):
    """One metric with its children; asking for one again costs a look into a dict.

    Each label takes `max_values` distinct values and the metric `max_series` children. What
    comes after is counted under `other`, so that no traffic can grow the exposition without end.
    """

    def __init__(
        self,
        spec: MetricSpec,
        root: Child,
        *,
        defaults: Mapping[str, str],
        max_values: int,
        max_series: int,
    ) -> None:
        self.spec = spec
        self.collapsed = 0
        """How many lookups were answered with `other`."""
        self._root = root
        self._defaults = {name: defaults[name] for name in spec.labels if name in defaults}
        self._seen: dict[str, set[str]] = {name: set() for name in spec.labels}
        self._children: dict[tuple[str, ...], Child] = {}
        self._asked: dict[tuple[tuple[str, str], ...], Child] = {}
        """By the labels as they were given, which have been found right."""
        self._lock = threading.Lock()
        self._max_values = max_values
        self._max_series = max_series

    def labels(self, **labels: str) -> Child:
        """Give the child with these labels; labels that the program has set may be left out."""
        if not self.spec.labels and not labels:
            return self._root
        asked = tuple(labels.items())
        child = self._asked.get(asked)
        if child is not None:
            return child
        given = self._defaults | labels
        if len(given) != len(self.spec.labels) or not given.keys() <= self._seen.keys():
            raise WrongLabelsError(
                f"{self.spec.name} has the labels {list(self.spec.labels)}, not {sorted(given)}."
            )
        wanted = tuple(str(given[name]) for name in self.spec.labels)
        with self._lock:
            child = self._children.get(wanted)
            if child is None:
                child = self._bounded_child(wanted)
            if wanted in self._children:  # What is counted under `other` is told at each lookup.
                self._asked[asked] = child
        return child

    def remove(self, **labels: str) -> None:
        """Drop all children with these labels, as when a pool is gone."""
        with self._lock:
            for values in self._matching(labels):
                del self._children[values]
                self._root.remove(*values)
            self._asked.clear()
            for position, name in enumerate(self.spec.labels):
                self._seen[name] = {values[position] for values in self._children}

    def collect(self) -> Iterable[Metric]:
        """Give the current samples, without the creation times that the contract does not have."""
        for metric in self._root.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric

    def _bounded_child(self, wanted: tuple[str, ...]) -> Child:
        values = tuple(
            value if value in seen or len(seen) < self._max_values else OTHER
            for value, seen in zip(wanted, self._seen.values(), strict=True)
        )
        if values not in self._children and len(self._children) >= self._max_series:
            values = (OTHER,) * len(values)
        self.collapsed += values != wanted
        if (child := self._children.get(values)) is not None:
            return child
        child = self._root.labels(*values)
        self._children[values] = child
        for value, seen in zip(values, self._seen.values(), strict=True):
            seen.add(value)
        return child

    def _matching(self, labels: Mapping[str, str]) -> list[tuple[str, ...]]:
        names = self.spec.labels
        if unknown := labels.keys() - set(names):
            raise WrongLabelsError(f"{self.spec.name} has no label {sorted(unknown)}.")
        return [
            values
            for values in self._children
            if labels.items() <= dict(zip(names, values, strict=True)).items()
        ]
