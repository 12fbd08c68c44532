import asyncio

from gpu_discovery import GpuInventory
from local_pool_manager import PoolConfig
from local_pool_manager.registry import Registry


def registry_of_one() -> Registry:
    registry = Registry()
    provisioning = {"mode": "external"}
    registry.add_pool(
        PoolConfig.model_validate({"id": "demo", "model_ref": "m", "provisioning": provisioning})
    )
    return registry


async def told_of(registry: Registry, *changes: str) -> tuple[int, int]:
    """Make changes in one turn; returns how often all is told, and all but leases."""
    with_leases: list[str] = []
    without: list[str] = []
    ends = (
        registry.subscribe(with_leases.append),
        registry.subscribe(without.append, leases=False),
    )
    for change in changes:
        getattr(registry, change)("demo")
    await asyncio.sleep(0)
    for end in ends:
        end()
    return len(with_leases), len(without)


async def test_who_does_not_ask_for_leases_is_told_of_other_changes_only() -> None:
    registry = registry_of_one()
    assert await told_of(registry, "leased", "leased") == (1, 0)
    assert await told_of(registry, "touch") == (1, 1)
    for order in (("leased", "touch"), ("touch", "leased")):
        assert await told_of(registry, *order) == (1, 1)


async def test_the_leases_of_a_pool_that_drains_are_told_to_all() -> None:
    registry = registry_of_one()
    registry.pools["demo"].draining = True
    assert await told_of(registry, "leased") == (1, 1)


async def test_a_lease_makes_the_last_snapshot_an_old_one() -> None:
    registry, inventory = registry_of_one(), GpuInventory()
    pool = registry.pools["demo"]
    before = pool.snapshot(inventory)
    assert pool.snapshot(inventory) is before
    registry.leased("demo")
    assert pool.snapshot(inventory) is not before
