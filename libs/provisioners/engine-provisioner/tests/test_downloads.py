"""A server of mode `binary` that is fetched: over real HTTP, with its checksum."""

import hashlib
import io
import tarfile
import zipfile

import pytest
from aiohttp import web

from engine_provisioner import (
    EngineMode,
    EngineState,
    EngineSupervisor,
    PreflightError,
    Survey,
    plan_engine,
    prepare,
)
from engine_provisioner.downloads import fetch, plan_download
from engine_provisioner.testing import fake_llama_server


@pytest.fixture
async def site():
    """Serve what a test puts into `files`; counts what is asked for."""
    files, asked = {}, []

    async def answer(request):
        asked.append(request.path)
        if request.path not in files:
            raise web.HTTPNotFound
        return web.Response(body=files[request.path])

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    yield files, asked, f"http://{host}:{port}"
    await runner.cleanup()


def tar_of(name: str, content: bytes) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def zip_of(name: str, content: bytes) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr(name, content)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("path", "pack"),
    [
        ("/llama-server", lambda content: content),
        ("/b1.tar.gz", lambda content: tar_of("build/bin/llama-server", content)),
        ("/b1.zip", lambda content: zip_of("build/bin/llama-server", content)),
    ],
)
async def test_what_is_fetched_once_is_run(wish, tmp_path, site, probe, watch, path, pack):
    files, asked, url = site
    body = pack(fake_llama_server(tmp_path).read_bytes())
    files[path] = body
    named = wish(
        mode=EngineMode.BINARY,
        url=f"{url}{path}",
        executable_sha256=hashlib.sha256(body).hexdigest().upper(),
    )
    cache = tmp_path / "cache"
    ready, survey = await prepare(named, Survey(cpu_cores=2), cache)
    await prepare(named, Survey(cpu_cores=2), cache)
    assert asked == [path]
    assert ready.executable.is_relative_to(cache)
    async with EngineSupervisor.running(
        plan_engine(ready, survey), tmp_path / "run", probe=probe, on_change=watch
    ):
        await watch.until(EngineState.READY)


async def test_another_checksum_is_refused_and_nothing_is_kept(wish, tmp_path, site):
    files, _, url = site
    files["/llama-server"] = b"#!/bin/sh\necho evil\n"
    with pytest.raises(PreflightError, match="nothing of it was kept"):
        await prepare(
            wish(mode=EngineMode.BINARY, url=f"{url}/llama-server", executable_sha256="0" * 64),
            Survey(cpu_cores=2),
            tmp_path,
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_an_archive_cannot_write_outside_of_its_folder_and_must_hold_a_server(tmp_path, site):
    files, _, url = site
    files["/evil.tar.gz"] = evil = tar_of("../../llama-server", b"")
    files["/empty.zip"] = empty = zip_of("readme", b"")
    cache = tmp_path / "deep" / "cache"
    for name, body, reason in (
        ("evil.tar.gz", evil, "cannot be unpacked"),
        ("empty.zip", empty, "no llama-server"),
    ):
        plan = plan_download(f"{url}/{name}", hashlib.sha256(body).hexdigest(), cache)
        with pytest.raises(PreflightError, match=reason):
            await fetch(plan)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_url_that_is_not_there_and_one_that_may_not_be_asked_are_told(wish, tmp_path, site):
    _, asked, url = site
    named = wish(mode=EngineMode.BINARY, url=f"{url}/none", executable_sha256="0" * 64)
    with pytest.raises(PreflightError, match="404"):
        await prepare(named, Survey(cpu_cores=2), tmp_path)
    asked.clear()
    with pytest.raises(PreflightError, match="may not be asked: the policy is `deny`"):
        await prepare(
            named, Survey(cpu_cores=2), tmp_path, may_ask=lambda _: "the policy is `deny`"
        )
    assert asked == []
