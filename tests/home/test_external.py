"""An engine that somebody else started joins by its handoff file, whatever kind it is."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo_model import SLOW, ensure
from engine_provisioner import llamacpp_host

from .calls import Api, check_grammar, engine_busy, text_of
from .daemons import Daemon, Engine, Place, until

SLOTS = 2
CTX = 2048
NAME = "theirs"
CONFIG = f"""\
device_policy = "cpu"

[[pools]]
id = "{NAME}"
engine = "openai"
model_ref = "{NAME}"
slots = {SLOTS}
provisioning = {{ mode = "external" }}
"""


@contextmanager
def foreign_engine(folder: Path, model: Path) -> Iterator[tuple[int, str]]:
    """A llama.cpp that is no child of any daemon: its process and its address."""
    status = folder / "engine.status"
    command = [sys.executable, llamacpp_host.__file__, "--status-file", str(status)]
    command += ["--model", str(model), "--alias", NAME, "--slots", str(SLOTS), "--ctx", str(CTX)]
    command += ["--no-warmup"]

    def listening() -> str | None:
        told = json.loads(status.read_text()) if status.exists() else {}
        return told.get("url")

    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield process.pid, until(listening, "a listening engine")
        assert process.poll() is None, "it was never the daemon's to stop"
    finally:
        process.kill()
        process.wait(10)


def hand_over(place: Place, model: Path, pid: int, url: str) -> None:
    """What a provisioner of somebody else's does when its engine is up."""
    handoff = {
        "schema": 1,
        "pool_id": NAME,
        "replica_id": "r0",
        "engine": "openai",
        "engine_version": "unknown",
        "url": url,
        "slots": SLOTS,
        "pid": pid,
        "ctx_max": CTX,
        "model": {"id": NAME, "path": str(model), "size_bytes": model.stat().st_size},
        "created_ms": int(time.time() * 1000),
    }
    place.runtime_dir.mkdir(parents=True, exist_ok=True)
    file = place.runtime_dir / f"{NAME}-r0.json"
    draft = file.with_suffix(".new")
    draft.touch(0o600)
    draft.write_text(json.dumps(handoff))
    draft.replace(file)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, models: Path
) -> Iterator[tuple[Daemon, Engine]]:
    folder = tmp_path_factory.mktemp("external")
    model = ensure(models, spec=SLOW)
    place = Place(folder / "home", CONFIG)
    with foreign_engine(folder, model) as (pid, url):
        daemon = place.start(ready=False)
        hand_over(place, model, pid, url)
        daemon.wait_ready()
        yield daemon, Engine(pid, url, "", NAME)
        place.close()


async def test_its_tasks_go_through_the_openai_adapter(
    served: tuple[Daemon, Engine], connect: Callable[[Daemon], Api]
) -> None:
    api = connect(served[0])
    frames = await api.run(model_ref=NAME, prompt="Who?", max_tokens=5, sampling={"temperature": 0})
    check_grammar(frames)
    assert text_of(frames) == SLOW.expected_text(5)
    assert frames[-1].data["tokens_out"] == 5
    (pool,) = (await api.get("/v2/pools"))["pools"]
    assert (pool["engine"], pool["slots_total"]) == ("openai", SLOTS)


async def test_its_model_is_listed_and_named_as_any_other(
    served: tuple[Daemon, Engine], connect: Callable[[Daemon], Api]
) -> None:
    api = connect(served[0])
    (card,) = (await api.get("/v1/models"))["data"]
    assert (card["id"], card["llama_orch"]["served_by"]) == (NAME, [NAME])
    assert card["llama_orch"]["ready"]
    assert await api.get(f"/v1/models/{NAME}") == card
    body = {"model": card["id"], "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 2}
    answer = await api.call("POST", "/v1/chat/completions", json=body)
    assert answer.status == 200


async def test_a_cancel_frees_the_engines_slot_and_the_pool_goes_on(
    served: tuple[Daemon, Engine], connect: Callable[[Daemon], Api]
) -> None:
    daemon, engine = served
    api = connect(daemon)
    async with api.open(model_ref=NAME, prompt="Who?", max_tokens=1500) as stream:
        await stream.until("token")
        await engine_busy(engine, 1)
        await api.cancel(stream.task_id)
        await engine_busy(engine, 0)
    frames = await api.run(model_ref=NAME, prompt="Who?", max_tokens=2)
    assert frames[-1].event == "end"
