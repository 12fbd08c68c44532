"""The same with certificates: nothing is said in plain text, and nobody is believed without one."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
import trustme

from demo_model import ENDLESS

from .calls import CloudApi
from .cluster import CLIENT_KEY, Cluster, Node
from .of_home import Pool, eventually

PLAINTEXT = "LLORCH_INSECURE_PLAINTEXT"


class Authority:
    """Who signs what the daemons show."""

    def __init__(self, folder: Path) -> None:
        self.root = trustme.CA()
        self.file = folder / "root.pem"
        self.root.cert_pem.write_to_path(self.file)

    def environ(self, folder: Path, prefix: str, *, trusts: "Authority") -> dict[str, str]:
        """A certificate for this machine, and whom its owner trusts."""
        certificate = self.root.issue_cert("127.0.0.1")
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(key)
        files = {"CERT": chain, "KEY": key, "CA": trusts.file}
        return {f"{prefix}_TLS_{name}": str(path) for name, path in files.items()}


def llorch(url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a task from the command line."""
    return subprocess.run(
        [sys.executable, "-m", "llorch", "run", "1", "--max-tokens", "30", "--temperature", "0"],
        check=False,
        env={"LLORCH_URL": url, "LLORCH_API_KEY": CLIENT_KEY, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def encrypt(node: Node, signed_by: Authority, trusts: Authority) -> Node:
    """Give a node a certificate, and tell it to speak and be spoken to with TLS only."""
    node.environ.pop(PLAINTEXT)
    node.environ |= signed_by.environ(node.folder, "POOL_MANAGERD", trusts=trusts)
    node.environ["POOL_MANAGERD_ORCHESTRATORD_URL"] = f"https://{node.out.address}"
    node.environ["POOL_MANAGERD_ADVERTISE_URL"] = f"https://{node.into.address}"
    return node


@pytest.fixture
async def trusting(tmp_path: Path) -> AsyncIterator[tuple[Authority, aiohttp.ClientSession]]:
    authority = Authority(tmp_path)
    context = ssl.create_default_context()
    authority.root.configure_trust(context)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        headers={"Authorization": f"Bearer {CLIENT_KEY}"},
    ) as session:
        yield authority, session


async def test_a_cluster_speaks_tls_and_leaves_out_whom_nobody_vouches_for(
    make_cluster: Callable[..., Cluster],
    models: Path,
    tmp_path: Path,
    trusting: tuple[Authority, aiohttp.ClientSession],
) -> None:
    authority, session = trusting
    (other := tmp_path / "other").mkdir()
    stranger = Authority(other)
    cluster = make_cluster()
    control = cluster.control
    control.environ.pop(PLAINTEXT)
    control.environ |= authority.environ(control.folder, "ORCHD", trusts=authority)
    pool = Pool.of(models, ENDLESS)
    known = encrypt(cluster.node("known", pool), authority, authority)
    # It believes the control plane, which does not believe it.
    unknown = encrypt(cluster.node("unknown"), stranger, authority)
    # The control plane would believe it, and hears nothing of it.
    wary = encrypt(cluster.node("wary"), authority, stranger)
    for program in (control, known, unknown, wary):
        program.start()
        assert "WITHOUT TLS" not in program.output
    api = CloudApi(control, session)
    api.url = f"https://{control.address}"
    await api.all_placeable("known")
    assert await api.told(max_tokens=30) == ("known", ENDLESS.expected_text(30))
    told = await asyncio.to_thread(llorch, api.url, SSL_CERT_FILE=str(authority.file))
    assert (told.returncode, told.stdout.strip()) == (0, ENDLESS.expected_text(30).strip())
    wary_of_it = await asyncio.to_thread(llorch, api.url)
    assert wary_of_it.returncode == 3
    assert "its certificate is not trusted" in wary_of_it.stderr

    async def refused() -> bool:
        answer = await api.call("GET", "/v2/gpus", params={"node_id": "unknown"})
        return answer.status == 503

    await eventually(refused, "a certificate that is not believed")
    assert not (await api.nodes())["unknown"]["placeable"]
    assert "wary" not in await api.nodes()
