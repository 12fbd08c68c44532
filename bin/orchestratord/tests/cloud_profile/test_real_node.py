"""orchestratord and pool-managerd as processes, with a real llama.cpp engine behind the relay."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

import demo_model
from orchestratord.testing import ControlPlane

from .conftest import KEY, TOKEN, said
from .processes import Program, pool_of

COMMON = {
    "LLORCH_PROFILE": "cloud",
    "LLORCH_API_TOKEN": TOKEN,
    "LLORCH_INSECURE_PLAINTEXT": "true",
    "LLORCH_LOG_FORMAT": "json",
}


@pytest.fixture
def programs() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start_control_plane(programs: ExitStack, folder: Path, bind: str = "127.0.0.1:0") -> Program:
    environ = {
        **COMMON,
        "ORCHD_API_KEYS": f"alice:{KEY}",
        "ORCHD_BIND_ADDR": bind,
        "ORCHD_SHUTDOWN_GRACE_MS": "100",
    }
    program = Program.start("orchestratord", folder, environ)
    programs.callback(program.close)
    return program


def start_node(
    programs: ExitStack,
    folder: Path,
    models: Path,
    control_plane: str,
    node_id: str,
    *,
    bind: str = "127.0.0.1:0",
) -> Program:
    environ = {
        **COMMON,
        "LLORCH_DEVICE_POLICY": "cpu",
        "POOL_MANAGERD_NODE_ID": node_id,
        "POOL_MANAGERD_BIND_ADDR": bind,
        "POOL_MANAGERD_ORCHESTRATORD_URL": f"http://{control_plane}",
    }
    config = pool_of(models, demo_model.DEMO) + pool_of(models, demo_model.SLOW)
    program = Program.start("pool_managerd", folder, environ, config)
    programs.callback(program.close)
    return program


async def ready(cloud: ControlPlane, count: int) -> dict[str, str]:
    """Wait for this many ready pools; returns the model of each."""
    async with asyncio.timeout(40):
        while True:
            pools = (await cloud.get("/v2/pools"))["pools"]
            if len(pools) == count and all(pool["ready"] for pool in pools):
                return {pool["pool_id"]: pool["model_id"] for pool in pools}
            await asyncio.sleep(0.05)


async def test_a_node_registers_serves_drains_and_leaves(
    programs: ExitStack, tmp_path: Path
) -> None:
    plane = start_control_plane(programs, tmp_path / "plane")
    node = start_node(programs, tmp_path / "node", tmp_path / "models", plane.address, "gpu-a")
    async with aiohttp.ClientSession() as session:
        cloud = ControlPlane(f"http://{plane.address}", session, TOKEN, KEY)
        models = await ready(cloud, 2)
        assert models.keys() == {"gpu-a:demo", "gpu-a:slow"}

        demo = models["gpu-a:demo"]
        text = said(await cloud.run(model_ref=demo, max_tokens=40, sampling={"temperature": 0}))
        assert text.startswith("Hello! I am the small model")

        burst = [cloud.run(model_ref=demo, max_tokens=20) for _ in range(24)]
        ended = [frames[-1] for frames in await asyncio.gather(*burst)]
        assert {event for event, _ in ended} == {"end"}, ended

        slow = models["gpu-a:slow"]
        async with cloud.stream(model_ref=slow, max_tokens=4000) as frames:
            _, started = await anext(frames)
            assert (await anext(frames))[0] == "token"
            answer = await cloud.ask(
                "POST", f"/v2/tasks/{started['task_id']}/cancel", credential=KEY
            )
            assert answer.status == 204
            *_, (event, data) = [frame async for frame in frames]
            assert (event, data["code"]) == ("error", "CANCELED")
        status = await cloud.until(lambda pool: pool["slots_free"] == 2, "/v2/pools/slow/status")
        assert status["active_leases"] == 0

        drained = await cloud.say("POST", "/v2/nodes/gpu-a/drain", {"deadline_ms": 1000})
        assert (drained.status, drained.json()["status"]) == (202, "draining")
        resumed = await cloud.say("POST", "/v2/nodes/gpu-a/resume")
        assert resumed.status == 200, resumed
        frames = await cloud.run(model_ref=demo, max_tokens=5)
        assert frames[-1][0] == "end"

        assert (await cloud.get("/v2/gpus?node_id=gpu-a"))["device_policy"] == "cpu"
        assert (await cloud.get("/v2/catalog/models?node_id=gpu-a"))["models"]

        assert node.stop() == 0
        assert await cloud.nodes() == {}
    assert plane.stop() == 0
    assert "Traceback" not in plane.log


async def test_a_node_outlives_its_control_plane_and_fails_over_to_another_node(
    programs: ExitStack, tmp_path: Path
) -> None:
    plane = start_control_plane(programs, tmp_path / "plane")
    address = plane.address
    models = tmp_path / "models"
    nodes = [
        start_node(programs, tmp_path / name, models, address, name) for name in ("gpu-a", "gpu-b")
    ]
    async with aiohttp.ClientSession() as session:
        cloud = ControlPlane(f"http://{address}", session, TOKEN, KEY)
        served = await ready(cloud, 4)
        plane.process.kill()
        plane.process.wait(10)
        again = start_control_plane(programs, tmp_path / "plane-again", bind=address)
        assert again.address == address
        assert await ready(cloud, 4) == served

        where = nodes[0].address
        nodes[0].process.kill()
        nodes[0].process.wait(10)
        demo = served["gpu-a:demo"]
        runs = [cloud.run(model_ref=demo, max_tokens=10) for _ in range(6)]
        ended = [frames[-1] for frames in await asyncio.gather(*runs)]
        assert {event for event, _ in ended} == {"end"}, ended
        assert not (await cloud.nodes())["gpu-a"]["placeable"]

        # The engines live on, and are adopted by the next start of their node.
        start_node(programs, tmp_path / "gpu-a", models, again.address, "gpu-a", bind=where)
        async with asyncio.timeout(40):
            while not (await cloud.nodes())["gpu-a"]["placeable"]:
                await asyncio.sleep(0.05)
        assert await ready(cloud, 4) == served
