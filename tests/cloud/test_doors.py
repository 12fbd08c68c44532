"""Who may come in where, and what nobody reaches at all."""

import re
from pathlib import Path

import pytest

from .calls import OPERATOR, CloudApi
from .cluster import CLIENT_KEY, TOKEN, Cluster
from .conftest import files_of_nodes

NOBODY: dict[str, str] = {}
CLIENT = {"Authorization": f"Bearer {CLIENT_KEY}"}
UNKNOWN = {"Authorization": f"Bearer {TOKEN}x"}
OPEN = {"/health", "/ready", "/metrics"}
FOR_NODES = ("/v2/nodes", "/v2/callbacks", "/callbacks")
ON_NODES = [
    ("GET", "/v2/pools"),
    ("GET", "/v2/node"),
    ("GET", "/v2/gpus"),
    ("GET", "/v2/pools/slow/status"),
    ("POST", "/v2/pools/slow/drain"),
    ("GET", "/v2/pools/slow/replicas/r0/engine/slots"),
    ("POST", "/v2/pools/slow/replicas/r0/engine/completion"),
]


async def status_of(
    api: CloudApi, url: str, method: str, path: str, headers: dict[str, str]
) -> int:
    async with api.session.request(method, url + path, headers=headers) as response:
        return response.status


@pytest.fixture
async def stranger(api: CloudApi) -> CloudApi:
    """A client that shows nothing of its own accord."""
    api.session.headers.popall("Authorization")
    return api


async def test_every_route_of_the_control_plane_needs_its_credential(
    cluster: Cluster, api: CloudApi
) -> None:
    paths = (await api.get("/openapi.json"))["paths"]
    api.session.headers.popall("Authorization")
    assert len(paths) > 20
    for template, methods in paths.items():
        path = re.sub(r"\{[^}]*\}", "x", template)
        for method in methods.keys() & {"get", "post", "delete", "patch", "put"}:
            other = CLIENT if path.startswith(FOR_NODES) else OPERATOR
            for headers, refused in ((NOBODY, 401), (UNKNOWN, 401), (other, 403)):
                status = await status_of(api, api.url, method, path, headers)
                assert (status == refused) is (path not in OPEN), (method, path, headers)


async def test_every_route_of_a_node_needs_the_service_token(
    cluster: Cluster, stranger: CloudApi
) -> None:
    for node in cluster.nodes.values():
        for method, path in ON_NODES:
            for headers in (NOBODY, CLIENT, UNKNOWN):
                assert await status_of(stranger, node.into.url, method, path, headers) == 401
        for path in ("/health", "/metrics"):
            assert await status_of(stranger, node.into.url, "GET", path, NOBODY) == 200


async def test_what_is_open_tells_no_secret(cluster: Cluster, stranger: CloudApi) -> None:
    keys = [engine.key for node in cluster.nodes.values() for engine in node.engines()]
    urls = [stranger.url, *(node.into.url for node in cluster.nodes.values())]
    for url in urls:
        for path in ("/health", "/metrics"):
            async with stranger.session.get(url + path) as response:
                told = await response.text()
            assert not [secret for secret in (TOKEN, CLIENT_KEY, *keys) if secret in told]


async def test_logs_tell_no_secret(cluster: Cluster) -> None:
    keys = [engine.key for node in cluster.nodes.values() for engine in node.engines()]
    for program in (cluster.control, *cluster.nodes.values()):
        assert not [secret for secret in (TOKEN, CLIENT_KEY, *keys) if secret in program.output]


async def test_engines_listen_to_their_own_machine_only(cluster: Cluster, api: CloudApi) -> None:
    for node in cluster.nodes.values():
        for engine in node.engines():
            assert listening(engine.pid), "an engine that listens nowhere"
            assert all(address == "0100007F" for address in listening(engine.pid))


async def test_the_control_plane_opens_no_file_of_a_node(cluster: Cluster, api: CloudApi) -> None:
    await api.told(model_ref="slow", max_tokens=3)
    opened = [path.readlink() for path in Path(f"/proc/{cluster.control.pid}/fd").iterdir()]
    maps = Path(f"/proc/{cluster.control.pid}/maps").read_text()
    for node in cluster.nodes.values():
        assert not [path for path in opened if path.is_relative_to(node.folder)]
        assert f"{node.folder}/" not in maps
        assert not [str(pool.model) for pool in node.pools if str(pool.model) in maps]
    assert not files_of_nodes(cluster)


def listening(pid: int) -> list[str]:
    """The IPv4 addresses, as the kernel writes them, on which a process listens."""
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and rest[5] in sockets:
                found.append(local.partition(":")[0])
    return found
