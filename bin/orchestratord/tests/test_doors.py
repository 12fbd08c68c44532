"""A daemon on loopback stays closed to web pages."""

import pytest

from orchestratord.testing import Shell

TASK = {"prompt": "hello"}
UI = "https://ui.example"


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "llama.lan:80"],
)
async def test_our_own_names_are_answered(shell: Shell, host: str) -> None:
    assert (await shell.ask("GET", "/health", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.nip.io"),
        *("10.0.0.1", "[2001:db8::1]", "a@localhost", "localhost/x", "", "[::1", "localhost:x y"),
    ],
)
async def test_foreign_names_are_misdirected(shell: Shell, host: str) -> None:
    answer = await shell.ask("GET", "/health", headers={"Host": host})
    assert answer.status in (400, 421), answer.status
    assert answer.json()["code"] in ("MISDIRECTED_REQUEST", "INVALID_PARAMS")
    assert answer.headers["x-correlation-id"]


async def test_a_rebound_name_cannot_start_a_task(shell: Shell) -> None:
    answer = await shell.ask("POST", "/v2/tasks", body=TASK, headers={"Host": "evil.example"})
    assert (answer.status, answer.json()["code"]) == (421, "MISDIRECTED_REQUEST")
    assert shell.tasks.submitted == []


async def test_a_foreign_name_in_the_target_counts(shell: Shell) -> None:
    answer = await shell.ask("GET", "http://evil.example/health")
    assert answer.status == 421


async def test_an_absolute_target_of_ours_is_answered(shell: Shell) -> None:
    answer = await shell.ask("GET", f"http://127.0.0.1:{shell.port}/health")
    assert answer.status == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:3000", "file://", "https://ui.example.evil"],
)
async def test_pages_of_other_origins_are_refused(shell: Shell, origin: str) -> None:
    answer = await shell.ask("POST", "/v2/tasks", body=TASK, headers={"Origin": origin})
    assert (answer.status, answer.json()["code"]) == (403, "FORBIDDEN")
    assert "access-control-allow-origin" not in answer.headers
    assert shell.tasks.submitted == []


async def test_a_page_of_our_own_is_answered(shell: Shell) -> None:
    origin = f"http://127.0.0.1:{shell.port}"
    assert (await shell.ask("GET", "/v2/pools", headers={"Origin": origin})).status == 200


@pytest.mark.parametrize("path", ["/v2/pools", "/nowhere", "/v2/tasks/none"])
async def test_an_allowed_origin_may_read_every_answer(shell: Shell, path: str) -> None:
    answer = await shell.ask("GET", path, headers={"Origin": UI})
    assert answer.headers["access-control-allow-origin"] == UI
    assert answer.headers["vary"] == "Origin"
    assert "X-Correlation-Id" in answer.headers["access-control-expose-headers"]


async def test_an_allowed_origin_may_read_a_stream(shell: Shell) -> None:
    _, _, headers = await shell.stream("POST", "/v2/tasks", body=TASK, headers={"Origin": UI})
    assert headers["access-control-allow-origin"] == UI


async def test_a_preflight_of_an_allowed_origin_is_granted(shell: Shell) -> None:
    asked = {"Origin": UI, "Access-Control-Request-Method": "POST"}
    answer = await shell.ask("OPTIONS", "/v2/tasks", headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == UI
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Content-Type" in answer.headers["access-control-allow-headers"]


async def test_a_preflight_of_a_foreign_origin_is_refused(shell: Shell) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await shell.ask("OPTIONS", "/v2/tasks", headers=asked)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
