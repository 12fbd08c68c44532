"""What must happen before the tasks of a model can run, as steps that clients follow."""

from typing import Any

from api_types import PreparationStep
from multi_node_placement import ClusterView
from pool_registry_types import PROVISIONING, ModelChange

LEAVING_PHASES = frozenset({"planning", "draining", "cutting", "stopping", "releasing"})
"""Of a change, those before the engine of the next model starts."""


def steps_for(
    model_id: str, cluster: ClusterView, fetch: PreparationStep | None = None
) -> tuple[PreparationStep, ...]:
    """Return the steps; none where the model is served. `fetch` is what comes before all others."""
    if cluster.serves_now(model_id):
        return ()
    if fetch is not None:
        return (fetch, _load(model_id))
    found = cluster.swapping.change(model_id)
    change = found[1] if found else None
    if found is not None and change is not None and change.phase == PROVISIONING:
        provision = PreparationStep(
            id="provision",
            kind="provision_engine",
            description=f"pool {found[0]}: {change.detail or 'its engine is made'}",
            status="running",
        )
        return (provision, _load(model_id))
    leaving = change is not None and change.phase in LEAVING_PHASES
    there = any(True for _ in cluster.replicas(model_id))
    begun = there if change is None else not leaving
    load = _load(model_id, change, begun=begun)
    if begun:
        return (load,)
    swap = PreparationStep(
        id="swap",
        kind="swap_model",
        description=f"pool {found[0]} lets the tasks of its present model end"
        if found
        else "another model is in use; its turn ends when it is idle, or after its time",
        status="running" if leaving else "pending",
    )
    return (swap, load)


def _load(
    model_id: str, change: ModelChange | None = None, *, begun: bool = False
) -> PreparationStep:
    return PreparationStep(
        id="load",
        kind="load_model",
        description=f"a pool is loading {model_id}" if begun else f"a pool has to load {model_id}",
        status="running" if begun else "pending",
        bytes_total=change.bytes_total if change else None,
        bytes_done=change.bytes_done if change and begun else None,
    )


def prep_of(steps: tuple[PreparationStep, ...]) -> dict[str, Any] | None:
    """Return the steps as `metrics` frames tell them."""
    return {step.id: _state(step) for step in steps} or None


def _state(step: PreparationStep) -> dict[str, Any]:
    told: dict[str, Any] = {"status": step.status, "phase": step.kind, "human": step.description}
    if step.bytes_per_s is not None:
        told["bytes_per_s"] = step.bytes_per_s
    if step.estimated_ms is not None:
        told["estimated_ms"] = step.estimated_ms
    if step.bytes_done is not None:
        told["bytes_done"] = step.bytes_done
    if step.bytes_total is not None:
        told["bytes_total"] = step.bytes_total
        if step.bytes_done is not None:
            told["pct"] = round(100 * step.bytes_done / max(1, step.bytes_total), 1)
    return told
