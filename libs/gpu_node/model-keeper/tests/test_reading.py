"""The catalog as clients see it."""

from pathlib import Path

import pytest

from api_types import ApiError, ErrorCode
from catalog_core import Catalog
from catalog_core.testing import model_entry
from model_keeper import CatalogReader
from pool_registry_types import HealthState, HealthStatus, PoolSnapshot, ReplicaSnapshot


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path)
    catalog.put(model_entry("recital"))
    return catalog


def serving_recital() -> tuple[PoolSnapshot, ...]:
    replica = ReplicaSnapshot(
        replica_id="r0",
        health=HealthStatus(state=HealthState.READY, live=True, ready=True),
        slots_total=1,
        slots_free=1,
        model_id="recital",
        generation=1,
    )
    pool = PoolSnapshot(
        pool_id="default",
        live=True,
        ready=True,
        draining=False,
        slots_total=1,
        slots_free=1,
        active_leases=0,
        vram_total_bytes=0,
        vram_free_bytes=0,
        engine="llamacpp",
        model_id="recital",
        state=HealthState.READY,
        replicas=(replica,),
    )
    return (pool,)


async def test_models_are_shown_with_their_node_and_the_pools_that_serve_them(
    catalog: Catalog,
) -> None:
    reader = CatalogReader("node", catalog, serving_recital)
    (model,) = await reader.models()
    assert model == await reader.model("recital")
    assert (model.node_id, model.served_by) == ("node", ("default",))
    assert (model.ctx_max, model.architecture) == (
        catalog.get("recital").header.context_length,
        catalog.get("recital").header.architecture,
    )


async def test_an_unknown_model_is_answered_with_near_names(catalog: Catalog) -> None:
    with pytest.raises(ApiError) as caught:
        await CatalogReader("node", catalog, tuple).model("recitel")
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
    assert caught.value.candidates == ("recital",)
