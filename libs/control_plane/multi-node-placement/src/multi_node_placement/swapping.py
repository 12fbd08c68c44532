"""The pools that change models: what each may load, could not load, and is on its way to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator_core import Constraint, PoolRef, ReplicaKey, ReplicaView, may_load
from pool_registry_types import LoadFailure, ModelChange, PoolSnapshot


@dataclass(frozen=True, slots=True)
class SwappingPool:
    """A pool that loads what tasks wait for."""

    pool: PoolRef
    views: tuple[ReplicaView, ...]

    @property
    def models(self) -> frozenset[str]:
        """The models that it has or may load."""
        own = {view.model_id for view in self.views if view.model_id is not None}
        return self.views[0].loadable_models | own

    def wants(self, constraint: Constraint) -> bool:
        """Whether a task like this is served there, once its model is loaded."""
        return any(
            view.online
            and not view.draining
            and (constraint.model_id == view.model_id or may_load(constraint, view))
            for view in self.views
        )


class SwapBook:
    """What reports say of pools besides their replicas, by pool."""

    def __init__(self) -> None:
        self._swappers: dict[PoolRef, dict[ReplicaKey, ReplicaView]] = {}
        self._failures: dict[PoolRef, tuple[LoadFailure, ...]] = {}
        self._changes: dict[PoolRef, ModelChange] = {}

    @property
    def any(self) -> bool:
        """Whether there is a pool that loads what tasks wait for."""
        return bool(self._swappers)

    def report(self, node_id: str, pools: Iterable[PoolSnapshot]) -> None:
        """Replace what is known of a node."""
        for known in (self._failures, self._changes):
            for pool in [pool for pool in known if pool.node_id == node_id]:
                del known[pool]
        for snapshot in pools:
            pool = PoolRef(node_id, snapshot.pool_id)
            if snapshot.load_failures:
                self._failures[pool] = snapshot.load_failures
            if snapshot.change is not None:
                self._changes[pool] = snapshot.change

    def put(self, view: ReplicaView) -> None:
        """Learn of a replica."""
        if view.loadable_models:
            self._swappers.setdefault(view.key.pool, {})[view.key] = view
        else:
            self.remove(view.key)

    def remove(self, key: ReplicaKey) -> None:
        """Forget a replica."""
        views = self._swappers.get(key.pool)
        if views is not None:
            views.pop(key, None)
            if not views:
                del self._swappers[key.pool]

    def pools(self) -> Iterator[SwappingPool]:
        """Give every swapping pool."""
        for pool, views in self._swappers.items():
            yield SwappingPool(pool, tuple(views.values()))

    def failure(self, model_id: str) -> tuple[PoolRef, LoadFailure] | None:
        """Return why a model could not be loaded a moment ago; the first to try again."""
        found = [
            (failure.retry_ms or 0, pool, failure)
            for pool, failures in self._failures.items()
            for failure in failures
            if failure.model_id == model_id
        ]
        return min(found, key=lambda each: each[:2])[1:] if found else None

    def change(self, model_id: str) -> tuple[PoolRef, ModelChange] | None:
        """Return the pool that is on its way to a model."""
        for pool, change in self._changes.items():
            if change.model_id == model_id:
                return pool, change
        return None
