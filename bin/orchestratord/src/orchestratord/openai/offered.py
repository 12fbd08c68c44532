"""The models that are told of under /v1: those of the catalog, and those of foreign engines."""

from collections.abc import Iterable

from api_types import ModelView, PoolView

SERVED_STATE = "Active"


def with_foreign(views: Iterable[ModelView], pools: Iterable[PoolView]) -> tuple[ModelView, ...]:
    """Add what only engines of somebody else have, of which no catalog knows a file.

    An engine counts as ready once its own list of models has the one of its handoff.
    """
    catalogued = tuple(views)
    known = {view.model_id for view in catalogued}
    foreign: dict[str, ModelView] = {}
    for pool in pools:
        for replica in pool.replicas:
            name = replica.model_id
            if name is None or name in known or not replica.health.ready:
                continue
            view = foreign.get(name)
            view = view or ModelView(model_id=name, reference=name, state=SERVED_STATE)
            served_by = dict.fromkeys((*view.served_by, pool.pool_id))
            ctx_max = max(view.ctx_max or 0, replica.ctx_max or 0) or None
            update = {"served_by": tuple(served_by), "ctx_max": ctx_max}
            foreign[name] = view.model_copy(update=update)
    return catalogued + tuple(foreign[name] for name in sorted(foreign))
