"""Strategies for every type of the client contract; needs `hypothesis`."""

from hypothesis import strategies as st

import api_types
import pool_registry_types.testing  # noqa: F401 - registers the nested types
from api_types import (
    Message,
    Placement,
    PlacementMode,
    PurgeRequest,
    Sampling,
    TaskRequest,
    Workload,
)
from api_types.fields import PoolName
from node_types.testing import instances, json_values, models_of, register, values
from pool_registry_types import Identifier


def samplings() -> st.SearchStrategy[Sampling]:
    """Return a strategy of sampling settings, with at most one constraint on the text."""
    return st.one_of(
        instances(Sampling, grammar=st.none()), instances(Sampling, json_schema=st.none())
    )


def placements() -> st.SearchStrategy[Placement]:
    """Return a strategy of placement wishes; a pin always names its target."""
    wish = st.sampled_from([PlacementMode.AUTO, PlacementMode.PREFER])
    pin = st.just(PlacementMode.PIN)
    return st.one_of(
        instances(Placement, mode=wish, pin_pool_id=st.none()),
        instances(Placement, mode=pin, pin_pool_id=values(PoolName)),
        instances(Placement, mode=pin, pin_pool_id=st.none(), node_id=values(Identifier)),
    )


def task_requests() -> st.SearchStrategy[TaskRequest]:
    """Return a strategy of task requests of all workloads."""
    none = st.none()
    texts = values(str).filter(bool)
    inputs = st.lists(texts, min_size=1, max_size=3).map(tuple)
    messages = st.lists(instances(Message), min_size=1, max_size=3).map(tuple)
    tools = st.lists(st.dictionaries(values(str), json_values(), max_size=2), max_size=2)
    plain = {"tools": none, "tool_choice": none}
    completion = {"workload": st.just(Workload.COMPLETION), "inputs": none, "query": none}
    no_text = {"prompt": none, "messages": none, "inputs": inputs}
    return st.one_of(
        instances(TaskRequest, **completion, **plain, prompt=texts, messages=none),
        instances(
            TaskRequest, **completion, prompt=none, messages=messages, tools=tools.map(tuple)
        ),
        instances(
            TaskRequest, **no_text, **plain, workload=st.just(Workload.EMBEDDING), query=none
        ),
        instances(TaskRequest, **no_text, **plain, workload=st.just(Workload.RERANK), query=texts),
    )


def purge_requests() -> st.SearchStrategy[PurgeRequest]:
    """Wishes that name at least one thing."""
    named = st.fixed_dictionaries(
        {name: st.booleans() for name in ("purge_engine", "purge_models", "delete_cache_dirs")}
    ).filter(lambda wish: any(wish.values()))
    return st.builds(
        lambda wish, drain_first, force: PurgeRequest(**wish, drain_first=drain_first, force=force),
        named,
        st.booleans(),
        st.booleans(),
    )


register(*models_of(api_types))
st.register_type_strategy(PurgeRequest, purge_requests())
st.register_type_strategy(Sampling, samplings())
st.register_type_strategy(Placement, placements())
st.register_type_strategy(TaskRequest, task_requests())

__all__ = ["instances", "placements", "samplings", "task_requests"]
