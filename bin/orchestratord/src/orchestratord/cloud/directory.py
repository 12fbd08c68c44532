"""Which model a task means, and where each is, by what the nodes report."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from admission_coordinator import ModelChoice
from api_types import ApiError, Availability, ErrorCode, ModelAvailability, PreparationStep
from orchestratord.unknown import unknown_model
from pool_registry_types import ModelState
from service_registry import NodeLease


class ClusterDirectory:
    """Fulfils `admission_coordinator.ModelDirectory` from the reports of nodes.

    What they say of models is summed up when it has changed, not for each task.
    """

    def __init__(
        self, nodes: Callable[[], Iterable[NodeLease]], *, aliases: Mapping[str, str]
    ) -> None:
        self._nodes = nodes
        self._aliases = aliases
        self._reported: dict[str, _Models] = {}
        self._sum: _Models | None = None
        self._choices: dict[str | None, ModelChoice] = {}
        """What names of models meant, as long as the sum stays the same."""

    def heard(self, node: NodeLease) -> None:
        """Note what a node has reported."""
        models = _Models.of(node)
        if self._reported.get(node.node_id) != models:
            self._reported[node.node_id] = models
            self._changed()

    def forget(self, node_id: str) -> None:
        """Note that a node has left."""
        self._reported.pop(node_id, None)
        self._changed()

    def _changed(self) -> None:
        self._sum = None
        self._choices.clear()

    def resolve(self, model_ref: str | None) -> ModelChoice:
        """Return the model; raises `ApiError` with the near names of an unknown one."""
        choice = self._choices.get(model_ref)
        if choice is None:
            choice = self._choices[model_ref] = self._find(model_ref, self._summed_up())
        return choice

    def _find(self, model_ref: str | None, models: "_Models") -> ModelChoice:
        if model_ref is None:
            return models.choice(_only_one(models.served))
        wanted = self._aliases.get(model_ref, model_ref)
        if wanted in models.served or wanted in models.on_disk:
            return models.choice(wanted)
        raise unknown_model(
            model_ref,
            before="no node has a model",
            ids={*models.served, *models.on_disk},
            aliases=self._aliases,
            hint="GET /v2/catalog/availability",
        )

    def fetching(self, _model_id: str) -> PreparationStep | None:
        """Return None: which node would fetch a model is for somebody to say."""
        return None

    def availability(self) -> Availability:
        """Return where each model is."""
        models = self._summed_up()
        having: dict[str, list[str]] = {name: [] for name in {*models.served, *models.on_disk}}
        capacity = dict.fromkeys(having, 0)
        for node in self._nodes():
            reported = self._reported.get(node.node_id)
            if reported is None or not node.online:
                continue
            for model_id in {*reported.served, *reported.on_disk}:
                having.setdefault(model_id, []).append(node.node_id)
            for pool in node.pools:
                for replica in pool.replicas:
                    serving = replica.model_id or pool.model_id
                    if serving is not None and replica.health.ready:
                        capacity[serving] = capacity.get(serving, 0) + replica.slots_total
        return Availability(
            models=tuple(
                ModelAvailability(
                    model_id=model_id,
                    nodes=tuple(nodes),
                    total_nodes=len(nodes),
                    total_capacity=capacity.get(model_id, 0),
                )
                for model_id, nodes in sorted(having.items())
            )
        )

    def _summed_up(self) -> "_Models":
        if self._sum is None:
            self._sum = _Models.all_of(self._reported.values())
        return self._sum


@dataclass(frozen=True, slots=True)
class _Models:
    """What is said of models, without what changes with each task."""

    served: Mapping[str, int | None]
    """Model → the largest context that an engine gives a task of it, where one has told."""
    on_disk: frozenset[str]

    @classmethod
    def of(cls, node: NodeLease) -> Self:
        """Return what one node says."""
        served: dict[str, int | None] = {}
        for pool in node.pools:
            for model_id in pool.loadable_models:
                served.setdefault(model_id, None)
            if pool.model_id is not None:
                served.setdefault(pool.model_id, None)
            for replica in pool.replicas:
                if replica.model_id is not None:
                    ctx_max = served.get(replica.model_id)
                    served[replica.model_id] = _larger(ctx_max, replica.ctx_max)
        on_disk = (model.model_id for model in node.models if model.state is ModelState.ACTIVE)
        return cls(served, frozenset(on_disk))

    @classmethod
    def all_of(cls, parts: Iterable[Self]) -> Self:
        """Return what several nodes say together."""
        served: dict[str, int | None] = {}
        on_disk: set[str] = set()
        for part in parts:
            on_disk |= part.on_disk
            for model_id, ctx_max in part.served.items():
                served[model_id] = _larger(served.get(model_id), ctx_max)
        return cls(served, frozenset(on_disk))

    def choice(self, model_id: str) -> ModelChoice:
        """Return the model as the coordinator wants it."""
        return ModelChoice(model_id=model_id, ctx_max=self.served.get(model_id))


def _larger(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else max(one, other)


def _only_one(served: Mapping[str, int | None]) -> str:
    if len(served) == 1:
        return next(iter(served))
    if served:
        names = tuple(sorted(served))
        raise ApiError(
            ErrorCode.INVALID_PARAMS,
            f"model_ref is needed, since several models are served: {', '.join(names)}",
            candidates=names,
        )
    raise ApiError(
        ErrorCode.MODEL_NOT_AVAILABLE,
        "no node serves a model yet",
        hint="GET /v2/nodes tells which nodes there are, GET /v2/pools what each waits for",
    )
