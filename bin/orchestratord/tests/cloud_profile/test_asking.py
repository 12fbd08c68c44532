"""What a node answers, and what it says of itself meanwhile."""

from typing import Any

from api_types import PoolList
from orchestratord.cloud.asking import ASKED_AT_MOST, Asking
from orchestratord.cloud.checks import PoolChecks
from service_registry import NodeLease, ServiceRegistry
from service_registry.testing import MadeUpNode, pool


class Client:
    """A node with two pools that were drained; `overtaken` answers come after a message of one."""

    def __init__(self, registry: ServiceRegistry, overtaken: int) -> None:
        self.node = MadeUpNode("gpu-a")
        self.overtaken = overtaken
        self.asked = 0
        self._registry = registry
        registry.register(self.node.register())
        registry.heartbeat(self.node.heartbeat(pool("a", draining=True), pool("b", draining=True)))

    async def get(self, _node: NodeLease, path: str, _answer: type) -> Any:
        if path == "/v2/node":
            self.asked += 1
            return self.node.register()
        if self.overtaken:
            self.overtaken -= 1
            self._registry.pool_ready(self.node.pool_ready(pool("b")))
        return PoolList.of((pool("a"), pool("b")))


class _Uncounted:
    def checked(self, *_told: object) -> None:
        """Nobody looks."""


async def _draining_after(overtaken: int) -> tuple[set[str], int]:
    registry = ServiceRegistry(lambda _event: None)
    client: Any = Client(registry, overtaken)
    metrics: Any = _Uncounted()
    await Asking(registry, client, PoolChecks(metrics, registry.get)).ask("gpu-a")
    node = registry.get("gpu-a")
    assert node is not None
    return {each.pool_id for each in node.pools if each.draining}, client.asked


async def test_an_answer_is_taken_for_all_pools() -> None:
    assert await _draining_after(overtaken=0) == (set(), 1)


async def test_an_answer_that_a_message_of_one_pool_has_overtaken_is_asked_for_again() -> None:
    assert await _draining_after(overtaken=2) == (set(), 3)


async def test_a_node_that_never_stops_talking_is_not_asked_for_ever() -> None:
    assert await _draining_after(overtaken=100) == ({"a"}, ASKED_AT_MOST)
