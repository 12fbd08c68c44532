"""The catalog as clients see it."""

from pathlib import Path

import pytest

from api_types import ApiError, ErrorCode
from catalog_core import Catalog
from catalog_core.testing import model_entry
from model_keeper import CatalogReader

from .pools import serving


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path)
    catalog.put(model_entry("recital"))
    return catalog


async def test_models_are_shown_with_their_node_and_the_pools_that_serve_them(
    catalog: Catalog,
) -> None:
    reader = CatalogReader("node", catalog, lambda: (serving("recital"),))
    (model,) = await reader.models()
    assert model == await reader.model("recital")
    assert (model.node_id, model.served_by) == ("node", ("pool-recital",))
    assert (model.ctx_max, model.architecture) == (
        catalog.get("recital").header.context_length,
        catalog.get("recital").header.architecture,
    )


async def test_an_unknown_model_is_answered_with_near_names(catalog: Catalog) -> None:
    with pytest.raises(ApiError) as caught:
        await CatalogReader("node", catalog, tuple).model("recitel")
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
    assert caught.value.candidates == ("recital",)
