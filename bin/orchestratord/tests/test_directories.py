"""What somebody is told who asks for a model that is not there."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from admission_coordinator import ModelDirectory
from api_types import ApiError
from catalog_core import Catalog
from catalog_core.testing import model_entry
from multi_node_placement import ClusterView
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
