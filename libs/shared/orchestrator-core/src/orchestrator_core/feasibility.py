"""Which replica may serve which task, and in one word why not."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_core.constraint import Constraint
from orchestrator_core.replicas import ReplicaView
from pool_registry_types import HealthState


class Refusal(StrEnum):
    """Why a replica did not get the task, in the order in which it is found out.

    The order is also one of hope: a later reason was nearer to a placement.
    """

    WRONG_MODEL = "wrong_model"
    WRONG_DIGEST = "wrong_digest"
    WRONG_ENGINE = "wrong_engine"
    NO_WORKLOAD = "no_workload"
    NOT_PINNED = "not_pinned"
    AVOIDED = "avoided"
    DEVICE_MASK = "device_mask"
    LABELS = "labels"
    NOT_STRICT = "not_strict"
    CTX_TOO_SMALL = "ctx_too_small"
    ALREADY_TRIED = "already_tried"
    OFFLINE = "offline"
    NOT_READY = "not_ready"
    DRAINING = "draining"
    SUSPECT = "suspect"
    BREAKER_OPEN = "breaker_open"
    NO_SLOT = "no_slot"
    NOT_FIRST = "not_first"
    """It could have served; another replica came before it."""


class When(StrEnum):
    """Whether a task would find a replica."""

    NOW = "now"
    """A feasible replica is ready, be it full."""
    LATER = "later"
    """One is on its way: starting, loading, restarting, or about to be trusted again."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Servable:
    """The answer to `could_serve`; `reason` is the nearest miss when it is not NOW."""

    when: When
    reason: Refusal | None = None


_RANK = {refusal: rank for rank, refusal in enumerate(Refusal)}
_ON_ITS_WAY = frozenset({HealthState.STARTING, HealthState.LOADING, HealthState.RESTARTING})


def standing_refusal(constraint: Constraint, view: ReplicaView) -> Refusal | None:
    """Why this replica, as it is configured, does not fit, whatever it is doing now."""
    if view.model_id != constraint.model_id:
        return Refusal.WRONG_MODEL
    return _misfit(constraint, view)


def may_load(constraint: Constraint, view: ReplicaView) -> bool:
    """Whether its pool may load the model in place of another one, for a task like this."""
    return (
        constraint.model_id in view.loadable_models
        and constraint.model_id != view.model_id
        and _misfit(constraint, view, as_loaded=False) is None
    )


def _misfit(constraint: Constraint, view: ReplicaView, *, as_loaded: bool = True) -> Refusal | None:
    """The same, apart from the model; unless `as_loaded`, also from what comes with a model."""
    c = constraint
    if as_loaded and c.model_digest is not None and view.model_digest != c.model_digest:
        return Refusal.WRONG_DIGEST
    if c.engine is not None and view.engine != c.engine:
        return Refusal.WRONG_ENGINE
    if c.engine_version is not None and view.engine_version != c.engine_version:
        return Refusal.WRONG_ENGINE
    if view.workloads is not None and c.workload not in view.workloads:
        return Refusal.NO_WORKLOAD
    if c.node_id is not None and view.key.node_id != c.node_id:
        return Refusal.NOT_PINNED
    if c.only_pools and view.key.pool not in c.only_pools:
        return Refusal.NOT_PINNED
    if c.avoid_pools and view.key.pool in c.avoid_pools:
        return Refusal.AVOIDED
    empty = not as_loaded and not view.slots_total
    if c.device_mask is not None and view.device_mask != c.device_mask and not empty:
        return Refusal.DEVICE_MASK
    if c.only_labels and any(view.labels.get(name) != value for name, value in c.only_labels):
        return Refusal.LABELS
    if c.strict and (view.prompt_cache or (view.slots_total != 1 and not empty)):
        return Refusal.NOT_STRICT
    if as_loaded and view.ctx_max is not None and c.ctx_tokens > view.ctx_max:
        return Refusal.CTX_TOO_SMALL
    return None


def passing_refusal(view: ReplicaView) -> Refusal | None:
    """Why this replica takes no new task now."""
    if not view.online:
        return Refusal.OFFLINE
    if view.draining or view.state is HealthState.DRAINING:
        return Refusal.DRAINING
    if view.state is not HealthState.READY:
        return Refusal.NOT_READY
    if view.suspect:
        return Refusal.SUSPECT
    if not view.breaker_closed:
        return Refusal.BREAKER_OPEN
    return None


def could_serve(constraint: Constraint, replicas: Iterable[ReplicaView]) -> Servable:
    """Tell at admission whether waiting makes sense.

    Worth waiting for: ready, suspect, behind an open breaker, starting, loading or restarting,
    and a pool that may load the model. Not: offline, stopped, failed, and draining, which
    lasts until somebody ends it.
    """
    nearest: Refusal | None = None
    later: Refusal | None = None
    for view in replicas:
        refusal = standing_refusal(constraint, view)
        swap = refusal is Refusal.WRONG_MODEL and constraint.model_id in view.loadable_models
        if swap:
            refusal = _misfit(constraint, view, as_loaded=False)
        if refusal is None:
            refusal = passing_refusal(view)
            if refusal is None and not swap:
                return Servable(When.NOW)
            if _will_pass(view, refusal, swap=swap):
                later = refusal or Refusal.WRONG_MODEL
        if refusal is not None and (nearest is None or _RANK[refusal] > _RANK[nearest]):
            nearest = refusal
    if later is not None:
        return Servable(When.LATER, later)
    return Servable(When.NEVER, nearest)


def _will_pass(view: ReplicaView, refusal: Refusal | None, *, swap: bool) -> bool:
    if refusal is Refusal.NOT_READY:
        # A pool that may load another model does so when nothing, or nothing good, is loaded.
        return swap or view.state in _ON_ITS_WAY
    return refusal in (None, Refusal.SUSPECT, Refusal.BREAKER_OPEN)
