"""How a node starts, is killed, and leaves."""

import asyncio
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from demo_model import ENDLESS, SLOW

from .daemons import TOKEN, Node, until
from .test_real_engine import adapter_of, request, text_of

MakeNode = Callable[..., Node]


def refusal(*arguments: str, **environ: str) -> str:
    """Why the program does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "pool_managerd", *arguments],
        check=False,
        env={"PATH": "/usr/bin", **environ},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_it_refuses_to_be_open_to_everybody() -> None:
    assert "no authentication" in refusal("--bind-addr", "0.0.0.0:0", "--profile", "home")
    assert "TLS" in refusal("--bind-addr", "127.0.0.1:0", LLORCH_API_TOKEN=TOKEN)
    assert "nobody could come in" in refusal("--bind-addr", "127.0.0.1:0")
    assert "at least 32" in refusal("--profile", "home", LLORCH_API_TOKEN="short")


def test_plaintext_in_the_cloud_is_repeated_in_every_start_log(bare: Node) -> None:
    assert "listening WITHOUT TLS" in bare.log.read_text()


def test_a_folder_has_one_owner_and_an_address_one_listener(node: MakeNode) -> None:
    first = node().start()
    second = Node(first.folder)
    second._starts = first._starts
    second.start(ready=False)
    assert second.wait() == 1
    assert "already serves the pools" in second.log.read_text()
    other = node()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other.start("--bind-addr", f"127.0.0.1:{port}", ready=False)
        assert other.wait() == 1
    assert "cannot start" in other.log.read_text()
    assert "Traceback" not in other.log.read_text()


def test_a_token_is_rolled_through_its_file_without_a_restart(
    node: MakeNode, tmp_path: Path
) -> None:
    old, new, file = "o" * 32, "n" * 32, tmp_path / "tokens"
    file.write_text(f"{old}\n")
    place = node()
    place.environ |= {"LLORCH_API_TOKEN": "", "LLORCH_API_TOKEN_FILE": str(file)}
    place.start(ready=False)
    assert place.call("GET", "/v2/pools", headers={"X-API-Key": old})[0] == 200
    assert place.call("GET", "/v2/pools", headers={"X-API-Key": new})[0] == 401
    file.write_text(f"{old}\n{new}\n")
    assert place.call("GET", "/v2/pools", headers={"X-API-Key": new})[0] == 200
    file.write_text(f"{new}\n")
    assert place.call("GET", "/v2/pools", headers={"X-API-Key": old})[0] == 401


async def test_engines_outlive_a_killed_daemon_and_are_adopted(node: MakeNode) -> None:
    place = node(ENDLESS).start()
    pid = place.handoff("endless")["pid"]
    place.tell(signal.SIGKILL)
    place.wait()
    place.start()
    assert place.handoff("endless")["pid"] == pid
    assert place.status("endless")["replicas"][0]["restarts"] == 0
    assert await text_of(place, "endless", 20) == ENDLESS.expected_text(20)


async def test_sigterm_lets_a_running_task_finish_and_refuses_the_next(node: MakeNode) -> None:
    place = node(SLOW, slots=2).start()
    first_token = asyncio.Event()
    async with adapter_of(place, "slow") as adapter:
        running = asyncio.ensure_future(
            adapter.run(request("last", 60), lambda _: first_token.set())
        )
        await first_token.wait()
        place.tell(signal.SIGTERM)
        until(lambda: "stopping" in place.log.read_text(), "that it stops")
        assert place.status("slow")["draining"] is True
        finish = await running
        assert finish.tokens_out == 60
    assert await asyncio.to_thread(place.wait) == 0
    # It was no drain of the pool, which would hold.
    place.start()
    assert place.status("slow")["draining"] is False


@pytest.mark.parametrize("notice", ["signal", "file"])
def test_a_preemption_notice_starts_a_drain(node: MakeNode, notice: str, tmp_path: Path) -> None:
    place, file = node(ENDLESS), tmp_path / "preempted"
    place.environ["POOL_MANAGERD_PREEMPTION_FILE"] = str(file)
    place.start()
    assert place.status("endless")["ready"] is True
    if notice == "signal":
        place.tell(signal.SIGUSR1)
    else:
        file.touch()
    until(lambda: place.status("endless")["draining"], "that it drains", within_s=5)
    status, body = place.call(
        "POST",
        "/v2/pools/endless/replicas/r0/engine/completion",
        {"prompt": "x"},
        headers={"Authorization": f"Bearer {TOKEN}", "X-Llorch-Task": "t/1"},
    )
    assert (status, body["code"]) == (503, "POOL_DRAINING")


async def test_all_of_it_works_with_tls(node: MakeNode, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    place = node(ENDLESS)
    place.scheme, place.context = "https", context
    place.environ |= {
        "POOL_MANAGERD_TLS_CERT": str(chain),
        "POOL_MANAGERD_TLS_KEY": str(key),
        "LLORCH_INSECURE_PLAINTEXT": "false",
    }
    place.start()
    assert "WITHOUT TLS" not in place.log.read_text()
    assert place.call("GET", "/v2/node")[1]["address"] == place.url
    assert await text_of(place, "endless", 300) == ENDLESS.expected_text(300)
    async with adapter_of(place, "endless") as adapter:
        running = asyncio.ensure_future(
            adapter.run(request("cut", 100_000), lambda _: running.cancel())
        )
        with pytest.raises(asyncio.CancelledError):
            await running
    until(lambda: place.status("endless")["active_leases"] == 0, "no lease", within_s=3)
