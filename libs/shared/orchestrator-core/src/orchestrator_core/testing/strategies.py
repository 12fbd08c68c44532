"""Generated replicas and constraints, from worlds so small that collisions are the rule."""

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from orchestrator_core.constraint import Constraint
from orchestrator_core.replica_index import ReplicaIndex
from orchestrator_core.replicas import PoolRef, ReplicaKey, ReplicaView
from orchestrator_core.scoring import Estimate
from pool_registry_types import HealthState

_nodes = st.sampled_from(["node-a", "node-b"])
_pools = st.sampled_from(["pool-1", "pool-2"])
_models = st.sampled_from(["small", "small", "small", "large"])
_engines = st.sampled_from(["llamacpp", "llamacpp", "vllm"])
_pool_refs = st.builds(PoolRef, _nodes, _pools)
_keys = st.builds(ReplicaKey, _nodes, _pools, st.sampled_from(["r0", "r1", "r2", "r3"]))

identities = st.sampled_from(["ada", "bob", "cyd"])

_no_demands = st.builds(Constraint, model_id=_models)
_demands = st.builds(
    Constraint,
    model_id=_models,
    engine=st.none() | _engines,
    ctx_tokens=st.sampled_from([0, 2048, 8192]),
    strict=st.sampled_from([False, False, True]),
    only_pools=st.frozensets(_pool_refs, max_size=2),
    node_id=st.none() | _nodes,
    avoid_pools=st.frozensets(_pool_refs, max_size=1),
)
constraints = _no_demands | _demands

_mostly_true = st.sampled_from([True] * 9 + [False])
_mostly_false = _mostly_true.map(lambda value: not value)

replica_views = st.builds(
    ReplicaView,
    key=_keys,
    engine=_engines,
    state=st.sampled_from([HealthState.READY] * 20 + list(HealthState)),
    model_id=_models,
    slots_total=st.integers(0, 8),
    vram_free_bytes=st.integers(0, 2),
    ctx_max=st.none() | st.sampled_from([2048, 8192]),
    labels=st.fixed_dictionaries({}, optional={"zone": st.sampled_from(["x", "y"])}),
    loadable_models=st.frozensets(_models, max_size=1),
    prompt_cache=st.booleans(),
    online=_mostly_true,
    draining=_mostly_false,
    suspect=_mostly_false,
    breaker_closed=_mostly_true,
)


@st.composite
def replica_indexes(draw: st.DrawFn) -> ReplicaIndex:
    """Give an index of up to twelve replicas with any load that their slots allow."""
    views = draw(st.lists(replica_views, max_size=12, unique_by=lambda view: view.key))
    active = {view.key: draw(st.integers(0, view.slots_total)) for view in views}
    return ReplicaIndex(views, active)


class FixedScorer:
    """A scorer that has made up its mind; what it has none of takes ten seconds."""

    def __init__(
        self, estimates: Mapping[ReplicaKey, Estimate], nominated: Sequence[ReplicaKey] = ()
    ) -> None:
        self.estimates = estimates
        self.nominated = nominated
        self.asked = 0

    def __call__(self, view: ReplicaView, active: int) -> Estimate:  # noqa: ARG002 - the port's
        """Give the estimate."""
        self.asked += 1
        return self.estimates.get(view.key, Estimate(10.0, 0.0, 0.0))


_seconds = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@st.composite
def scorers(draw: st.DrawFn, keys: Sequence[ReplicaKey]) -> FixedScorer:
    """Give a scorer for these replicas, in which equal times are the rule."""
    estimates = {key: Estimate(*draw(st.tuples(_seconds, _seconds, _seconds))) for key in keys}
    nominated = draw(st.lists(st.sampled_from(keys), max_size=3)) if keys else []
    return FixedScorer(estimates, nominated)
