"""A disk that fills up while a model arrives."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalog_core import Catalog
from model_provisioner import DiskFullError, FetchSettings, ModelProvisioner, NetworkPolicy
from model_provisioner.testing import ModelServer

MakeProvisioner = Callable[..., ModelProvisioner]
PATH = "/m.gguf"


@pytest.fixture
def file_limit() -> Iterator[Callable[[int], None]]:
    """No file of this process may grow beyond the limit; the kernel says so like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda length: resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_fills_on_the_way_gives_back_what_must_stay_free(
    make: MakeProvisioner,
    catalog: Catalog,
    store: Path,
    server: ModelServer,
    weights: bytes,
    file_limit: Callable[[int], None],
) -> None:
    server.files[PATH] = weights
    provisioner = make(keep_free_bytes=1_000_000)
    file_limit(7_000_000)
    with pytest.raises(DiskFullError) as caught:
        await provisioner.ensure(server.url + PATH)
    assert caught.value.keep_bytes == 1_000_000
    (part,) = store.rglob("*.part")
    assert part.stat().st_size == 6_000_000
    assert catalog.list() == ()
    file_limit(resource.RLIM_INFINITY)
    assert (await provisioner.ensure(server.url + PATH)).path.read_bytes() == weights
    assert server.bodies(PATH)[-1] == "bytes=5999999-"


@pytest.mark.netns
async def test_a_small_real_disk_is_full_before_the_first_byte_and_on_the_way(
    tmp_path: Path, server: ModelServer, weights: bytes
) -> None:
    """Needs root: a disk of 8 MB is mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    try:
        server.files[PATH] = weights
        catalog = Catalog(tmp_path / "catalog")

        def provisioner(**settings: object) -> ModelProvisioner:
            fetch = FetchSettings(
                policy=NetworkPolicy.allow(),
                keep_free_bytes=1_000_000,
                **settings,  # type: ignore[arg-type]
            )
            return ModelProvisioner(catalog, base=disk, now_ms=lambda: 0, fetch=fetch)

        with pytest.raises(DiskFullError) as caught:
            await provisioner().ensure(server.url + PATH)
        assert caught.value.needed_bytes == len(weights)
        with pytest.raises(DiskFullError):
            await provisioner(free_bytes=lambda path: 10**12).ensure(server.url + PATH)
        (part,) = disk.rglob("*.part")
        assert 6_000_000 < part.stat().st_size < 8_000_000
        assert catalog.list() == ()
    finally:
        subprocess.run(["umount", disk], check=True)


CHILD = """
import asyncio, sys
from pathlib import Path
from catalog_core import Catalog
from model_provisioner import FetchSettings, ModelProvisioner, NetworkPolicy

root, url = Path(sys.argv[1]), sys.argv[2]
fetch = FetchSettings(policy=NetworkPolicy.allow(), keep_free_bytes=0)
provisioner = ModelProvisioner(
    Catalog(root / "catalog"), base=root / "models", now_ms=lambda: 0, fetch=fetch
)
print(asyncio.run(provisioner.ensure(url)).id)
"""


async def test_a_process_that_is_killed_leaves_a_partial_for_the_next_one(
    make: MakeProvisioner, server: ModelServer, tmp_path: Path, weights: bytes
) -> None:
    server.files[PATH] = weights
    server.faults.cuts = [6_000_000]
    again = asyncio.Event()

    async def hold_the_second(_: str) -> None:
        if len(server.bodies(PATH)) == 2:
            again.set()
            await asyncio.Event().wait()

    server.faults.before_body = hold_the_second
    arguments = (sys.executable, "-c", CHILD, str(tmp_path), server.url + PATH)
    killed = await asyncio.create_subprocess_exec(*arguments)
    await again.wait()
    killed.kill()
    await killed.wait()
    server.faults.before_body = None
    entry = await make().ensure(server.url + PATH)
    assert entry.path.read_bytes() == weights
    assert str(server.bodies(PATH)[-1]) > "bytes=5"


async def test_two_processes_share_one_download(
    make: MakeProvisioner, server: ModelServer, tmp_path: Path, weights: bytes
) -> None:
    server.files[PATH] = weights
    asked, waiting = asyncio.Event(), asyncio.Event()

    async def gate(_: str) -> None:
        asked.set()
        await waiting.wait()

    server.faults.before_body = gate
    arguments = (sys.executable, "-c", CHILD, str(tmp_path), server.url + PATH)
    child = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    await asked.wait()
    entry, (told, _) = await asyncio.gather(
        make().ensure(server.url + PATH, on_progress=lambda step: waiting.set()),
        child.communicate(),
    )
    assert (told.decode().strip(), entry.id) == ("m", "m")
    assert len(server.bodies(PATH)) == 1
