"""What clients and operators of a cluster do."""

import asyncio
from typing import Any

import aiohttp

from .cluster import TOKEN, Cluster, ControlPlane
from .of_home import EVENT_STREAM, Api, check_grammar, eventually, frames_of, text_of

GREEDY = {"temperature": 0}
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
READY_S = 30.0


class CloudApi(Api):
    """A client of a control plane, who is its operator as well."""

    def __init__(self, control: ControlPlane, session: aiohttp.ClientSession) -> None:
        super().__init__(control, session)  # type: ignore[arg-type]  # it asks for the url only

    async def operate(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Call what the service token opens."""
        answer = await self.call(method, path, headers=OPERATOR, **more)
        assert answer.status == status, answer
        return answer.json()

    async def nodes(self) -> dict[str, dict[str, Any]]:
        """Every node by its id."""
        listed = await self.operate("GET", "/v2/nodes")
        return {node["node_id"]: node for node in listed["nodes"]}

    async def pools(self) -> dict[str, dict[str, Any]]:
        """Every pool by its full name."""
        return {pool["pool_id"]: pool for pool in (await self.get("/v2/pools"))["pools"]}

    async def all_placeable(self, *names: str, within_s: float = READY_S) -> None:
        """Wait until these nodes take tasks in all of their pools."""

        async def look() -> bool:
            nodes, pools = await self.nodes(), (await self.pools()).values()
            return all(
                name in nodes
                and nodes[name]["placeable"]
                and all(pool["ready"] for pool in pools if pool["node_id"] == name)
                and any(pool["node_id"] == name for pool in pools)
                for name in names
            )

        await eventually(look, f"{names} take tasks", within_s=within_s)

    async def place_of(self, task_id: str) -> str:
        """The node that a task is or was on."""
        return str((await self.get(f"/v2/tasks/{task_id}"))["placement"]["node_id"])

    async def told(self, **task: Any) -> tuple[str, str]:
        """Run a task that must succeed; its node and its text."""
        frames = await self.run(prompt="1", sampling=GREEDY, **task)
        check_grammar(frames)
        assert frames[-1].event == "end", frames[-1]
        return await self.place_of(frames[0].data["task_id"]), text_of(frames)


async def all_idle(cluster: Cluster, api: CloudApi, *, within_s: float = 10.0) -> None:
    """Hold that engines, nodes and control plane agree that nothing runs."""
    engines = [
        engine for node in cluster.nodes.values() if node.running for engine in node.engines()
    ]

    async def look() -> bool:
        busy = await asyncio.gather(*(asyncio.to_thread(engine.busy) for engine in engines))
        pools = (await api.pools()).values()
        return not any(busy) and all(
            pool["active_leases"] == 0 and pool["slots_free"] == pool["slots_total"]
            for pool in pools
        )

    await eventually(look, "all slots free by every count", within_s=within_s)


async def serves_again(api: CloudApi, node: str, *, within_s: float) -> None:
    """Wait until tasks that want a node, and no other one, are served there."""
    pin = {"mode": "pin", "node_id": node}
    task = {"model_ref": "slow", "prompt": "1", "max_tokens": 2, "placement": pin}

    async def look() -> bool:
        answer = await api.call("POST", "/v2/tasks", json=task, headers=EVENT_STREAM)
        return answer.status == 200 and frames_of(answer.body)[-1].event == "end"

    await eventually(look, f"{node} serves again", within_s=within_s)
