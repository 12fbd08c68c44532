"""Which models are told of under /v1."""

from typing import Any

from api_types import ModelView, PoolView
from multi_node_placement.testing import pool_report
from orchestratord.openai.offered import with_foreign
from pool_registry_types import HealthState

CATALOGUED = ModelView(model_id="m", reference="file:/m.gguf", state="Retired")


def pool(pool_id: str, **changes: Any) -> PoolView:
    return PoolView.of(pool_report(pool_id, **changes), node_id="node")


def test_what_a_foreign_engine_serves_is_told_once_with_all_its_pools() -> None:
    pools = [pool("p", model_id="theirs", replicas=2), pool("q", model_id="theirs")]
    (found,) = with_foreign([], pools)
    assert (found.model_id, found.reference, found.state) == ("theirs", "theirs", "Active")
    assert found.served_by == ("p", "q")
    assert (found.ctx_max, found.size_bytes) == (4096, None)


def test_what_the_catalog_says_of_a_model_stands() -> None:
    assert with_foreign([CATALOGUED], [pool("p", model_id="m")]) == (CATALOGUED,)


def test_an_engine_that_has_not_been_asked_yet_offers_nothing() -> None:
    pools = [pool("p", model_id="theirs", state=HealthState.STARTING), pool("q", model_id=None)]
    assert with_foreign([CATALOGUED], pools) == (CATALOGUED,)
