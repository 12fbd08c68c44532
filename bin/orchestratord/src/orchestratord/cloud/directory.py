"""Which model a task means, and where each is, by what the nodes report."""

import difflib
from collections.abc import Callable, Iterable, Mapping

from admission_coordinator import ModelChoice
from api_types import ApiError, Availability, ErrorCode, ModelAvailability
from multi_node_placement import ClusterView, ServedModel
from pool_registry_types import ModelState
from service_registry import NodeLease

_Facts = tuple[object, ...]


class ClusterDirectory:
    """Fulfils `admission_coordinator.ModelDirectory` from the cluster view and the reports.

    Sums over all replicas are made when a report has changed what is served, not for each task.
    """

    def __init__(
        self,
        cluster: ClusterView,
        nodes: Callable[[], Iterable[NodeLease]],
        *,
        aliases: Mapping[str, str],
    ) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._aliases = aliases
        self._facts: dict[str, _Facts] = {}
        self._served: Mapping[str, ServedModel] | None = None
        self._known: frozenset[str] = frozenset()

    def heard(self, node: NodeLease) -> None:
        """Note what a node has reported."""
        facts = _facts(node)
        if self._facts.get(node.node_id) != facts:
            self._facts[node.node_id] = facts
            self._served = None

    def forget(self, node_id: str) -> None:
        """Note that a node has left."""
        self._facts.pop(node_id, None)
        self._served = None

    def resolve(self, model_ref: str | None) -> ModelChoice:
        """Return the model; raises `ApiError` with the near names of an unknown one."""
        served = self._sums()
        if model_ref is None:
            return _choice(self._only_one(served), served)
        wanted = self._aliases.get(model_ref, model_ref)
        if wanted in served or wanted in self._known:
            return _choice(wanted, served)
        names = sorted({*served, *self._known, *self._aliases})
        near = tuple(difflib.get_close_matches(model_ref, names, n=5, cutoff=0.4))
        raise ApiError(
            ErrorCode.MODEL_NOT_FOUND,
            f"no node has a model {model_ref[:200]!r}",
            hint=f"near names: {', '.join(near)}" if near else "GET /v2/catalog/availability",
            candidates=near or None,
        )

    def availability(self) -> Availability:
        """Return where each model is."""
        having: dict[str, set[str]] = {model_id: set() for model_id in self._known}
        for node in self._nodes():
            if node.online:
                for model_id in _models_of(node):
                    having.setdefault(model_id, set()).add(node.node_id)
        capacity = {
            model_id: served.slots_total for model_id, served in self._cluster.models().items()
        }
        return Availability(
            models=tuple(
                ModelAvailability(
                    model_id=model_id,
                    nodes=tuple(sorted(nodes)),
                    total_nodes=len(nodes),
                    total_capacity=capacity.get(model_id, 0),
                )
                for model_id, nodes in sorted(having.items())
            )
        )

    def _sums(self) -> Mapping[str, ServedModel]:
        if self._served is None:
            self._served = self._cluster.models()
            self._known = frozenset(
                model_id for node in self._nodes() for model_id in _models_of(node)
            )
        return self._served

    def _only_one(self, served: Mapping[str, ServedModel]) -> str:
        if len(served) == 1:
            return next(iter(served))
        if served:
            raise ApiError(
                ErrorCode.INVALID_PARAMS,
                f"model_ref is needed, since several models are served: {', '.join(served)}",
                candidates=tuple(served),
            )
        raise ApiError(
            ErrorCode.MODEL_NOT_AVAILABLE,
            "no node serves a model yet",
            hint="GET /v2/nodes tells which nodes there are, GET /v2/pools what each waits for",
        )


def _choice(model_id: str, served: Mapping[str, ServedModel]) -> ModelChoice:
    known = served.get(model_id)
    return ModelChoice(model_id=model_id, ctx_max=None if known is None else known.ctx_max)


def _models_of(node: NodeLease) -> set[str]:
    """Return what a node has on its disk or in an engine."""
    on_disk = {model.model_id for model in node.models if model.state is ModelState.ACTIVE}
    return on_disk | {pool.model_id for pool in node.pools if pool.model_id is not None}


def _facts(node: NodeLease) -> _Facts:
    """Return what a report says of models, and nothing that changes with each task."""
    return (
        node.models,
        *(
            (
                pool.pool_id,
                pool.model_id,
                pool.loadable_models,
                *((replica.model_id, replica.ctx_max) for replica in pool.replicas),
            )
            for pool in node.pools
        ),
    )
