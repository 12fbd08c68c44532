"""A pool of HOME whose engine, a real llama.cpp, runs in a container of podman."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_model import ENDLESS

from .calls import Api, text_of
from .container.image import Podman
from .daemons import Daemon, Place, Pool, until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    made = Podman.in_folder(tmp_path_factory.mktemp("podman"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def image(podman: Podman) -> str:
    return podman.image()


@pytest.fixture
def pool(
    podman: Podman, image: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Pool]:
    """Describe pools whose engine comes from the image."""
    for name, value in podman.environ.items():
        monkeypatch.setenv(name, value)

    def make(**more: object) -> Pool:
        provisioning = {"provisioning.mode": "container", "provisioning.image": image}
        return Pool.of(models, ENDLESS, ctx=1024, **{**provisioning, **more})

    return make


def handoff(place: Place) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads((place.runtime_dir / "endless-r0.json").read_bytes())
    except FileNotFoundError:
        return None
    return told


def another_than(place: Place, pid: int) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        told = handoff(place)
        return told if told and told["pid"] != pid else None

    return until(look, "another engine", within_s=60)


async def test_an_engine_in_a_container_serves_is_adopted_and_replaced_and_leaves_nothing_behind(
    podman: Podman,
    pool: Callable[..., Pool],
    place: Callable[..., Place],
    connect: Callable[[Daemon], Api],
) -> None:
    home = place(pool())
    daemon = home.start(ready=False)
    daemon.wait_ready(within_s=90)
    (name,) = podman.containers()
    told = handoff(home)
    assert told is not None
    assert told["engine_version"].startswith("container-")
    frames = await connect(daemon).run(prompt="1", max_tokens=20, sampling=GREEDY)
    assert text_of(frames) == ENDLESS.expected_text(20)

    (facts,) = json.loads(podman("inspect", name))
    (binding,) = facts["NetworkSettings"]["Ports"]["8080/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    assert told["url"] == f"http://127.0.0.1:{binding['HostPort']}"
    (mount,) = facts["Mounts"]
    assert (mount["Destination"], mount["RW"]) == ("/models", False)
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert told["engine_key"] not in commands.stdout
    log = (home.runtime_dir / "logs" / "endless~r0.log").read_text()
    assert "serving http://" in log

    # A daemon that dies leaves the container, and the next one adopts it.
    daemon.kill()
    daemon = home.start(ready=False)
    daemon.wait_ready(within_s=90)
    assert (handoff(home) or {})["pid"] == told["pid"]

    # The engine dies: a new container comes.
    os.kill(facts["State"]["Pid"], signal.SIGKILL)
    second = another_than(home, told["pid"])
    daemon.wait_ready(within_s=90)
    # The guardian dies, and cannot clean up: nothing is left of its container either.
    os.kill(second["pid"], signal.SIGKILL)
    another_than(home, second["pid"])
    daemon.wait_ready(within_s=90)
    assert len(podman.containers()) == 1
    frames = await connect(daemon).run(prompt="1", max_tokens=20, sampling=GREEDY)
    assert text_of(frames) == ENDLESS.expected_text(20)

    assert daemon.stop() == 0
    assert podman.containers() == []


def test_a_container_of_a_pool_that_is_gone_is_an_orphan_and_removed(
    podman: Podman, pool: Callable[..., Pool], place: Callable[..., Place]
) -> None:
    home = place(pool())
    daemon = home.start(ready=False)
    daemon.wait_ready(within_s=90)
    told = handoff(home)
    assert told is not None
    daemon.kill()
    os.kill(told["pid"], signal.SIGKILL)
    until(lambda: not Path(f"/proc/{told['pid']}").exists(), "the guardian is gone")
    assert len(podman.containers()) == 1
    home.config = home.config.partition("[[pools]]")[0]
    home.start(ready=False)
    until(lambda: podman.containers() == [], "the orphan is removed", within_s=60)


def test_an_image_that_is_not_here_is_told_with_the_command_that_brings_it(
    podman: Podman, pool: Callable[..., Pool], place: Callable[..., Place]
) -> None:
    missing = f"localhost/llama-orch-test@sha256:{'0' * 64}"
    home = place(pool(**{"provisioning.image": missing}))
    daemon = home.start(ready=False)
    until(lambda: f"podman pull {missing}" in daemon.output, "the reason in the log", within_s=30)
    assert podman.containers() == []
