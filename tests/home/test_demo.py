"""What a newcomer does: start the demo, talk to it, look at it, stop it with Ctrl-C."""

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

import pytest

from demo_model import DEMO, SLOW

from .calls import Api, text_of
from .daemons import Daemon, Place, Pool, until

READY_WITHIN_S = 10.0
STOPS_WITHIN_S = 10.0


@pytest.fixture
def demo(place: Callable[..., Place]) -> Daemon:
    return place().start("--demo", ready=False)


def banner(demo: Daemon) -> str:
    def shown() -> str | None:
        assert demo.process.poll() is None, demo.output
        found = re.search(
            r"^llama-orch is serving.*^Stop it:[^\n]*$", demo.output, re.MULTILINE | re.DOTALL
        )
        return found[0] if found else None

    return until(shown, "the banner", within_s=3 * READY_WITHIN_S)


def llorch(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "llorch", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )


async def test_the_demo_serves_in_seconds_and_ends_without_a_trace(
    demo: Daemon,
    connect: Callable[[Daemon], Api],
    record_property: Callable[[str, object], None],
) -> None:
    began_s = time.monotonic()
    told = await asyncio.to_thread(banner, demo)
    took_s = time.monotonic() - began_s
    record_property("demo_ready_s", round(took_s, 2))
    print(f"the demo was ready after {took_s:.2f} s")
    assert took_s < READY_WITHIN_S
    assert demo.url in told

    frames = await connect(demo).run(prompt="What are you?", sampling={"temperature": 0})
    assert text_of(frames) == DEMO.expected_text()

    ran = await asyncio.to_thread(
        llorch, "run", "What are you?", "--temperature", "0", "--url", demo.url
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == DEMO.expected_text()

    assert len(demo.place.processes()) == 2, "the daemon and its engine"
    code = await asyncio.to_thread(demo.stop, signal.SIGINT)
    assert code == 0
    assert demo.place.processes() == []
    assert "Traceback" not in demo.output


async def test_on_a_terminal_llorch_run_shows_its_place_in_the_queue_and_its_speed(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    daemon = place(Pool.of(models, SLOW, ctx=4096)).start()
    api = connect(daemon)
    holder = await api.submit(prompt="1", max_tokens=4000)
    terminal, other_end = pty.openpty()
    typed = [sys.executable, "-m", "llorch", "run", "1", "--url", daemon.url, "--max-tokens", "40"]
    with (
        os.fdopen(terminal, "rb", buffering=0) as screen,
        subprocess.Popen(typed, stdout=subprocess.DEVNULL, stderr=other_end) as ran,
    ):
        os.close(other_end)
        waiting = await asyncio.to_thread(screen.read, 200)
        await api.cancel(holder["task_id"])
        running = await asyncio.to_thread(_all_of, screen)
    assert ran.returncode == 0
    assert re.search(rb"queue|position|waiting", waiting), waiting
    assert re.search(rb"\d tok(ens)?/s", running), running


def _all_of(screen: FileIO) -> bytes:
    seen = b""
    # The last writer's close is an error on this side of a terminal.
    with suppress(OSError):
        while chunk := screen.read(4096):
            seen += chunk
    return seen


def test_what_the_banner_says_to_type_works(demo: Daemon) -> None:
    told = banner(demo)
    (typed,) = re.findall(r"^ +uv run (llorch run .*)$", told, re.MULTILINE)
    ran = subprocess.run(
        ["/bin/sh", "-c", f'exec "{sys.executable}" -m {typed}'],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(DEMO.expected_text(3))
    (curl,) = re.findall(r"^ +(curl (?:.*\\\n)*.*)$", told, re.MULTILINE)
    assert demo.url in curl
    assert "text/event-stream" in curl
    body = re.search(r"-d '([^']*)'", curl)
    assert body


def test_ctrl_c_ends_it_while_a_stream_runs(demo: Daemon, tmp_path: Path) -> None:
    banner(demo)
    out = tmp_path / "answer"
    with out.open("wb") as file:
        reader = subprocess.Popen(
            [sys.executable, "-m", "llorch", "run", "1", "--url", demo.url],
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
    demo.process.send_signal(signal.SIGINT)
    began_s = time.monotonic()
    assert demo.process.wait(3 * STOPS_WITHIN_S) == 0
    assert time.monotonic() - began_s < STOPS_WITHIN_S
    assert demo.place.processes() == []
    reader.wait(10)


def test_a_taken_address_is_told_in_one_line(demo: Daemon, tmp_path: Path) -> None:
    address = demo.url.removeprefix("http://")
    port = address.partition(":")[2]
    banner(demo)
    other = Place.with_pools(tmp_path / "other")
    second = other.start("--demo", "--bind-addr", address, ready=False)
    assert second.process.wait(30) == 1
    last = second.output.splitlines()[-1]
    assert port in last
    assert "Address already in use" in last
    assert "--bind-addr" in last
    assert "Traceback" not in second.output
    other.close()
    assert len(demo.place.processes()) == 2


@pytest.mark.parametrize("demo_too", [True, False], ids=["demo", "plain"])
def test_a_home_that_cannot_be_written_is_told_in_one_line(
    place: Callable[..., Place], demo_too: bool
) -> None:
    home = place()
    home.folder.mkdir(parents=True)
    (home.folder / "data").write_text("a file where a folder is needed")
    daemon = home.start(*["--demo"] * demo_too, ready=False)
    assert daemon.process.wait(30) == 1
    last = daemon.output.splitlines()[-1]
    assert f"{home.folder / 'data'}: it is no folder" in last
    assert "LLORCH_HOME" in last
    assert "Traceback" not in daemon.output


def test_ctrl_c_before_it_is_ready_ends_it_too(place: Callable[..., Place]) -> None:
    home = place()
    daemon = home.start("--demo", ready=False)
    assert daemon.url
    assert daemon.stop(signal.SIGINT) == 0
    assert home.processes() == []
