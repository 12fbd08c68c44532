from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from catalog_core import Catalog
from catalog_core.testing import gguf_bytes
from model_provisioner import FetchSettings, ModelProvisioner, NetworkPolicy
from model_provisioner.testing import ModelServer

MakeProvisioner = Callable[..., ModelProvisioner]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer.running() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


@pytest.fixture
def make(catalog: Catalog, store: Path, server: ModelServer) -> MakeProvisioner:
    """A provisioner that loses no time; settings are given by name."""

    def made(**settings: object) -> ModelProvisioner:
        fetch = FetchSettings(
            **{  # type: ignore[arg-type]
                "policy": NetworkPolicy.allow(),
                "hub_endpoint": server.url,
                "keep_free_bytes": 0,
                "first_pause_s": 0.001,
                "idle_timeout_s": 5.0,
                **settings,
            }
        )
        return ModelProvisioner(catalog, base=store, now_ms=lambda: 1000, fetch=fetch)

    return made


@pytest.fixture
def weights() -> bytes:
    """A model of a few buffers, whose bytes differ everywhere."""
    plain = gguf_bytes(tensors={"token_embd.weight": (64, 50_000)})
    noise = bytes(range(251)) * 60_000
    return plain[:4096] + noise[: len(plain) - 4096]
