"""What HOME tells about its machine and its models."""

from pathlib import Path

import pytest

from adapter_api import EngineDescription
from catalog_core import Catalog, FileStamp, GgufHeader, ModelEntry
from gpu_discovery import GpuInventory
from orchestrator_core import ReplicaKey
from orchestratord.config import Settings
from orchestratord.testing import FakePools
from orchestratord.views import LocalMachine
from pool_registry_types import (
    HealthState,
    HealthStatus,
    PoolSnapshot,
    ReplicaSnapshot,
)

DESCRIPTION = EngineDescription(
    engine="llamacpp",
    engine_version="1",
    model="recital",
    slots=4,
    ctx_max=1024,
    workloads=("completion", "embedding"),
    features=frozenset({"tools", "chat"}),
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "catalog")
    catalog.put(
        ModelEntry(
            id="recital",
            reference="file:/recital.gguf",
            path=Path("/recital.gguf"),
            digest="sha256:" + "0" * 64,
            size_bytes=9,
            header=GgufHeader(
                version=3,
                architecture="llama",
                quantization="F32",
                size_bytes=9,
                tensor_count=1,
                tensor_bytes=1,
                parameter_count=1,
                context_length=4096,
            ),
            stamp=FileStamp(size_bytes=9, mtime_ns=1, inode=1),
            created_ms=1,
            last_used_ms=1,
        )
    )
    return catalog


def pool(state: HealthState, *, last_error: str | None = None) -> PoolSnapshot:
    ready = state is HealthState.READY
    health = HealthStatus(state=state, live=ready, ready=ready)
    replica = ReplicaSnapshot(
        replica_id="r0", health=health, engine_version="1", model_id="recital", ctx_max=1024
    )
    return (
        FakePools()
        .snapshot("default")
        .model_copy(
            update={
                "state": state,
                "ready": ready,
                "last_error": last_error,
                "replicas": (replica,),
            }
        )
    )


def machine(settings: Settings, catalog: Catalog, *pools: PoolSnapshot) -> LocalMachine:
    return LocalMachine(
        settings,
        catalog=catalog,
        snapshots=lambda: pools,
        inventory=lambda: GpuInventory(reason="no driver"),
        descriptions=lambda: {ReplicaKey("node", "default", "r0"): DESCRIPTION},
    )


@pytest.mark.parametrize(
    ("states", "ready"),
    [
        ((), True),
        ((HealthState.READY,), True),
        ((HealthState.READY, HealthState.FAILED), True),
        ((HealthState.READY, HealthState.LOADING), False),
        ((HealthState.RESTARTING,), False),
    ],
)
def test_home_is_ready_when_each_pool_is_ready_or_failed(
    settings: Settings, catalog: Catalog, states: tuple[HealthState, ...], ready: bool
) -> None:
    assert machine(settings, catalog, *map(pool, states)).readiness().ready is ready


def test_home_that_shuts_down_is_not_ready(settings: Settings, catalog: Catalog) -> None:
    home = machine(settings, catalog, pool(HealthState.READY))
    home.begin_shutdown()
    assert not home.readiness().ready


def test_a_failed_pool_says_why(settings: Settings, catalog: Catalog) -> None:
    failed = pool(HealthState.FAILED, last_error="no GPU")
    assert machine(settings, catalog, failed).readiness().pools[0].last_error == "no GPU"


def test_capabilities_name_engines_models_and_limits(settings: Settings, catalog: Catalog) -> None:
    capabilities = machine(settings, catalog, pool(HealthState.READY)).capabilities()
    (engine,) = capabilities.engines
    assert (engine.engine, engine.versions, engine.ctx_max, engine.slots) == (
        "llamacpp",
        ("1",),
        1024,
        4,
    )
    assert engine.models == ("recital",)
    assert engine.workloads == ("completion", "embedding")
    assert engine.features == ("chat", "tools")
    assert engine.batching
    assert capabilities.limits.max_body_bytes == settings.max_body_bytes
    assert capabilities.device_policy == "gpu"


async def test_the_node_lists_its_models_and_pools(settings: Settings, catalog: Catalog) -> None:
    node = await machine(settings, catalog, pool(HealthState.READY)).node()
    assert (node.node_id, node.pools) == ("node", ("default",))
    assert [model.model_id for model in node.models] == ["recital"]
    assert node.capabilities.cpu_cores >= 1


async def test_a_machine_without_a_gpu_says_what_was_looked_for(
    settings: Settings, catalog: Catalog
) -> None:
    gpus = await machine(settings, catalog).gpus()
    assert gpus.gpus == ()
    assert "NVML" in str(gpus.reason)
