"""Who opens which route, and how both sides are encrypted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from auth_min import AuthError, client_context, server_context
from orchestratord.access import Access
from orchestratord.config import Settings
from orchestratord.testing import MODEL, ControlPlane, ScriptedNode

from .conftest import KEY, SPEECH, TOKEN, cloud_settings, said

StartNode = Callable[..., Awaitable[ScriptedNode]]
OTHER_KEY = "bob-has-a-key-of-thirty-two-chars-too"
WRONG = "w" * 40

OPEN = ("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics")
CLIENTS = (
    ("GET", "/v2/pools"),
    ("GET", "/v2/tasks"),
    ("GET", "/v1/models"),
    ("GET", "/openapi.json"),
)
NODES = ("GET", "/v2/nodes"), ("POST", "/v2/nodes/x/resume"), ("POST", "/v2/callbacks/pool-ready")
NOBODYS = ("GET", "/v2/nodesx"), ("GET", "/nothing")


@pytest.mark.parametrize(("method", "path"), OPEN)
@pytest.mark.parametrize("credential", [None, WRONG])
async def test_health_and_metrics_ask_for_nothing(
    cloud: ControlPlane, method: str, path: str, credential: str | None
) -> None:
    assert (await cloud.ask(method, path, credential=credential)).status == 200


@pytest.mark.parametrize(("method", "path"), [*CLIENTS, *NODES, *NOBODYS])
@pytest.mark.parametrize(
    ("credential", "code"), [(None, "MISSING_TOKEN"), (WRONG, "BAD_TOKEN"), ("", "MISSING_TOKEN")]
)
async def test_nothing_else_is_shown_to_strangers(
    cloud: ControlPlane, method: str, path: str, credential: str | None, code: str
) -> None:
    answer = await cloud.ask(method, path, credential=credential)
    told = answer.json()
    assert (answer.status, told.get("code") or told["error"]["code"]) == (401, code)


@pytest.mark.parametrize(("method", "path"), CLIENTS)
async def test_a_client_key_opens_what_is_for_clients(
    cloud: ControlPlane, method: str, path: str
) -> None:
    assert (await cloud.ask(method, path, credential=KEY)).status == 200
    answer = await cloud.ask(method, path, credential=TOKEN)
    told = answer.json()
    assert (answer.status, told.get("code") or told["error"]["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize(("method", "path"), NODES)
async def test_the_service_token_opens_what_is_for_nodes(
    cloud: ControlPlane, method: str, path: str
) -> None:
    assert (await cloud.ask(method, path, credential=TOKEN)).status not in (401, 403)
    answer = await cloud.ask(method, path, credential=KEY)
    assert (answer.status, answer.json()["code"]) == (403, "FORBIDDEN")


async def test_two_credentials_that_differ_are_none(cloud: ControlPlane) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "X-API-Key": OTHER_KEY}
    async with cloud.session.get(f"{cloud.url}/v2/pools", headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "BAD_TOKEN")


@pytest.fixture
async def optional(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """A control plane whose callers on this machine may come as they are."""
    settings = cloud_settings(tmp_path, auth_optional=True)
    async with ControlPlane.running(settings, token=TOKEN, key=KEY) as cloud:
        yield cloud


@pytest.mark.parametrize(("method", "path"), [*CLIENTS, ("GET", "/v2/nodes")])
async def test_where_it_is_optional_this_machine_needs_no_credential(
    optional: ControlPlane, method: str, path: str
) -> None:
    assert (await optional.ask(method, path)).status == 200
    assert (await optional.ask(method, path, credential=WRONG)).status == 401


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_what_a_proxy_has_passed_on_is_not_of_this_machine(
    optional: ControlPlane, header: str
) -> None:
    async with optional.session.get(
        f"{optional.url}/v2/pools", headers={header: "127.0.0.1"}
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "MISSING_TOKEN")


async def test_a_foreign_host_is_refused_to_those_without_a_credential_only(
    optional: ControlPlane,
) -> None:
    foreign = {"Host": "ctl.example"}
    async with optional.session.get(f"{optional.url}/v2/pools", headers=foreign) as answer:
        assert answer.status == 421
    keyed = {**foreign, "X-API-Key": KEY}
    async with optional.session.get(f"{optional.url}/v2/pools", headers=keyed) as answer:
        assert answer.status == 200


async def test_a_preflight_needs_no_credential(tmp_path: Path) -> None:
    settings = cloud_settings(tmp_path, cors_origins=("https://ui.example",))
    asked = {
        "Origin": "https://ui.example",
        "Access-Control-Request-Method": "POST",
    }
    async with (
        ControlPlane.running(settings) as cloud,
        cloud.session.options(f"{cloud.url}/v2/tasks", headers=asked) as answer,
    ):
        assert answer.status == 204


async def test_what_a_key_made_is_nobody_elses(tmp_path: Path, start_node: StartNode) -> None:
    settings = cloud_settings(tmp_path, api_keys=f"alice:{KEY}\nbob:{OTHER_KEY}")
    async with ControlPlane.running(settings, token=TOKEN, key=KEY) as cloud:
        await cloud.welcome(await start_node())
        (_, started), *_ = await cloud.run(model_ref=MODEL, session_id="s1")
        made = await cloud.ask("POST", "/v2/artifacts", {"content": 1}, credential=KEY)
        paths = {
            f"/v2/tasks/{started['task_id']}": "TASK_NOT_FOUND",
            "/v2/sessions/s1": "SESSION_NOT_FOUND",
            f"/v2/artifacts/{made.json()['id']}": "ARTIFACT_NOT_FOUND",
        }
        for path, code in paths.items():
            assert (await cloud.ask("GET", path, credential=KEY)).status == 200
            answer = await cloud.ask("GET", path, credential=OTHER_KEY)
            assert (answer.status, answer.json()["code"]) == (404, code)
        assert (await cloud.ask("GET", "/v2/tasks", credential=OTHER_KEY)).json()["tasks"] == []


async def test_keys_in_a_file_count_from_the_next_request(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"alice:{KEY}\n")
    settings = cloud_settings(tmp_path, api_keys=None, api_keys_file=path)
    async with ControlPlane.running(settings) as cloud:
        assert (await cloud.ask("GET", "/v2/pools", credential=OTHER_KEY)).status == 401
        path.write_text(f"alice:{KEY}\nbob:{OTHER_KEY}\n")
        assert (await cloud.ask("GET", "/v2/pools", credential=OTHER_KEY)).status == 200


async def test_a_new_service_token_is_shown_to_nodes_once_it_is_the_first(
    tmp_path: Path, start_node: StartNode
) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\n")
    node = await start_node()
    settings = cloud_settings(tmp_path, api_token=None, api_token_file=path)
    async with ControlPlane.running(settings, token=TOKEN, key=KEY) as cloud:
        await cloud.welcome(node)
        assert said(await cloud.run(model_ref=MODEL)) == SPEECH
        path.write_text(f"{WRONG}\n{TOKEN}\n")
        async with asyncio.timeout(10):  # It is looked at once a second.
            while node.credentials != {f"Bearer {WRONG}"}:
                node.credentials.clear()
                assert said(await cloud.run(model_ref=MODEL)) == SPEECH


def test_a_file_that_holds_no_credential_is_told_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# nobody yet\n")
    with pytest.raises(AuthError, match="keys"):
        Access(cloud_settings(tmp_path, api_keys=None, api_keys_file=path))


def test_each_start_repeats_what_is_open(settings: Settings, tmp_path: Path) -> None:
    (warning,) = Access(settings).warnings()
    assert "WITHOUT TLS" in warning
    without = " ".join(Access(cloud_settings(tmp_path, api_keys=None)).warnings())
    assert "no client of another machine can come in" in without


async def test_both_sides_speak_tls_and_trust_their_ca_only(
    tmp_path: Path, start_node: StartNode
) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    cert, key, trusted = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    issued = ca.issue_cert("127.0.0.1")
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    ca.cert_pem.write_to_path(str(trusted))
    false_cert, false_key = tmp_path / "false.pem", tmp_path / "false-key.pem"
    false = stranger.issue_cert("127.0.0.1")
    false.cert_chain_pems[0].write_to_path(str(false_cert))
    false.private_key_pem.write_to_path(str(false_key))
    node = await start_node("gpu-a", tls=server_context(cert, key))
    impostor = await start_node("gpu-b", tls=server_context(false_cert, false_key))
    settings = cloud_settings(
        tmp_path, insecure_plaintext=False, tls_cert=cert, tls_key=key, tls_ca=trusted
    )
    async with ControlPlane.running(
        settings, token=TOKEN, key=KEY, tls=client_context(trusted)
    ) as cloud:
        await cloud.welcome(node)
        assert said(await cloud.run(model_ref=MODEL)) == SPEECH
        assert (await cloud.get("/v2/gpus?node_id=gpu-a"))["reason"] == "none here"
        plain = await start_node("gpu-c")
        answer = await cloud.say("POST", "/v2/nodes/register", plain.messages.register())
        assert (answer.status, answer.json()["code"]) == (400, "INVALID_PARAMS")
        await cloud.welcome(impostor)
        answer = await cloud.ask("GET", "/v2/gpus?node_id=gpu-b", credential=KEY)
        assert (answer.status, answer.json()["code"]) == (503, "NODE_UNAVAILABLE")
        assert impostor.credentials == set()
