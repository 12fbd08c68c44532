"""Models that come over a network which fails, to disks that are full and daemons that die."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from demo_model import DEMO, ensure
from model_provisioner.testing import ModelServer

from .calls import EVENT_STREAM, Api, eventually, text_of
from .daemons import Daemon, Place
from .shell import llorch

TOKENS = 32
NOBODYS_DIGEST = f"sha256:{'0' * 64}"
NO_DISK_HAS_BYTES = 10**16


def models_on(folder: Path) -> list[Path]:
    """Whatever begins like a model, under any name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if path.read_bytes()[:4] == b"GGUF"]


async def test_a_fetch_outlives_a_cut_and_the_death_of_the_daemon_and_two_share_it(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    content = ensure(models, spec=DEMO).read_bytes()
    third, whole = len(content) // 3, len(content)
    here = place()
    daemon = here.start(ready=False)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_: str) -> None:
        if len(server.requests) > 1:
            asked.set()
            await go_on.wait()

    async with ModelServer.running() as server:
        server.files["/demo.gguf"] = content
        server.faults.cuts = [third]
        server.faults.before_body = hold
        reference = f"{server.url}/demo.gguf"
        begun = await connect(daemon).call(
            "POST", "/v2/catalog/models", json={"reference": reference}
        )
        assert (begun.status, begun.json()["state"]) == (202, "running")
        await asked.wait()
        daemon.kill()
        assert not list(here.folder.rglob("*.gguf"))

        asked.clear()
        daemon = here.start(ready=False)
        api = connect(daemon)
        async with _following(api, reference) as first:
            await asked.wait()
            async with _following(api, reference) as second:
                assert (await second.readline()) == b"event: progress\n"
                go_on.set()
                ends = [(await reader.read()).split(b"event: ")[-1] for reader in (first, second)]
        assert ends[0] == ends[1]
        assert ends[0].startswith(b"model\n"), ends
        # The last byte that had arrived is asked for again: it shows that the file is the same.
        assert server.bodies("/demo.gguf") == [None, f"bytes={third}-", f"bytes={third - 1}-"]
        assert server.sent_bytes == whole + 1
    frames = await api.run(
        model_ref="demo", prompt="1", max_tokens=TOKENS, sampling={"temperature": 0}
    )
    assert text_of(frames) == DEMO.expected_text(TOKENS), frames[-1]


async def test_a_wrong_digest_and_a_disk_without_room_leave_nothing_that_can_be_served(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    content = ensure(models, spec=DEMO).read_bytes()
    async with ModelServer.running() as server:
        here = place(hub_endpoint=server.url)
        daemon = here.start(ready=False)
        api = connect(daemon)
        server.files["/demo.gguf"] = content
        reference = f"{server.url}/demo.gguf"
        wrong = await llorch(daemon.url, "pull", reference, "--digest", NOBODYS_DIGEST)
        assert (wrong.code, wrong.out) == (1, "")
        assert "INVALID_PARAMS" in wrong.err
        assert NOBODYS_DIGEST in wrong.err

        server.add_repository("org/huge", {"huge.gguf": content})
        for path in [path for path in server.files if path.startswith("/api/models/org/huge")]:
            listing = server.files[path].decode()
            huge = listing.replace(str(len(content)), str(NO_DISK_HAS_BYTES))
            server.files[path] = huge.encode()
        await api.call("POST", "/v2/catalog/models", json={"reference": "hf:org/huge"})
        refused = await eventually(lambda: _failure(api, "hf:org/huge"), "a refusal")
        assert (refused["code"], refused["retriable"]) == ("DISK_FULL", True)
        assert f"{NO_DISK_HAS_BYTES} more are needed" in refused["message"]
        assert re.search(r"the disk of .* has \d+ bytes free", refused["message"])
        assert not [each for each in server.requests if "resolve" in each.path]
    assert (await api.get("/v2/catalog/models"))["models"] == []
    assert (await api.get("/v1/models"))["data"] == []
    assert models_on(here.folder) == []


@asynccontextmanager
async def _following(api: Api, reference: str) -> AsyncIterator[aiohttp.StreamReader]:
    """Fetch a model and read along."""
    async with api.session.post(
        f"{api.url}/v2/catalog/models", json={"reference": reference}, headers=EVENT_STREAM
    ) as answer:
        assert answer.status == 200, await answer.text()
        yield answer.content


async def _failure(api: Api, reference: str) -> Any:
    pulls = (await api.get("/v2/catalog/models"))["pulls"]
    return next((pull["error"] for pull in pulls if pull["reference"] == reference), None)
