"""What somebody is told who asks for a model that is not there."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from admission_coordinator import ModelDirectory
from api_types import ApiError
from catalog_core import Catalog
from catalog_core.testing import model_entry
from multi_node_placement import ClusterView
from multi_node_placement.testing import pool_report
from orchestratord.cloud.directory import ClusterDirectory
from orchestratord.home.directory import HomeDirectory
from orchestratord.home.wanted import WantedModels

ALIASES = {"chat": "chat-70b"}


async def home(folder: Path) -> ModelDirectory:
    catalog = Catalog(folder)
    catalog.put(model_entry("chat-7b"))
    wanted = WantedModels(None, now_ms=lambda: 0)
    directory = HomeDirectory(ClusterView(), aliases=ALIASES, catalog=catalog, wanted=wanted)
    await directory.refresh()
    return directory


async def cloud(_folder: Path) -> ModelDirectory:
    return ClusterDirectory(tuple, aliases=ALIASES)


@pytest.mark.parametrize(("make", "near"), [(home, ("chat-7b",)), (cloud, None)])
async def test_an_alias_of_a_missing_model_is_told_with_it_and_not_offered(
    make: Callable[[Path], Awaitable[ModelDirectory]], near: tuple[str, ...] | None, tmp_path: Path
) -> None:
    directory = await make(tmp_path)
    with pytest.raises(ApiError, match="'chat', an alias of 'chat-70b'") as caught:
        directory.resolve("chat")
    assert caught.value.candidates == near


async def test_what_a_name_meant_is_forgotten_when_other_models_are_served(tmp_path: Path) -> None:
    cluster, catalog = ClusterView(), Catalog(tmp_path)
    directory = HomeDirectory(
        cluster, aliases=ALIASES, catalog=catalog, wanted=WantedModels(None, now_ms=lambda: 0)
    )
    cluster.apply_report("home", [pool_report(model_id="chat-70b")])
    found = directory.resolve(None)
    assert found == directory.resolve("chat") == directory.resolve("chat-70b")
    assert (found.model_id, found.ctx_max, found.kv_bytes_per_token) == ("chat-70b", 4096, 0)
    entry = model_entry("chat-70b")
    sized = {"embedding_length": 8, "block_count": 1, "head_count": 1, "head_count_kv": 1}
    catalog.put(entry.model_copy(update={"header": entry.header.model_copy(update=sized)}))
    await directory.refresh()
    assert directory.resolve("chat").kv_bytes_per_token == 32
    cluster.apply_report("home", [pool_report(model_id="other")])
    assert directory.resolve(None).model_id == "other"
    assert directory.resolve("chat").ctx_max is None
    cluster.apply_report("home", [])
    with pytest.raises(ApiError, match="no model is served yet"):
        directory.resolve(None)
