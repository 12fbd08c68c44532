"""Every route of port 9200, on a real daemon, and who may call it."""

import pytest

from .daemons import TOKEN, Node

ROUTES = [
    ("GET", "/v2/pools"),
    ("GET", "/v2/pools/x/status"),
    ("POST", "/v2/pools/x/drain"),
    ("POST", "/v2/pools/x/resume"),
    ("POST", "/v2/pools/x/reload"),
    ("POST", "/v2/pools/x/preload"),
    ("GET", "/v2/node"),
    ("GET", "/v2/gpus"),
    ("GET", "/v2/catalog/models"),
    ("GET", "/v2/catalog/models/x"),
    ("POST", "/v2/callbacks/register"),
    ("GET", "/v2/pools/x/replicas/r0/engine/health"),
    ("POST", "/v2/pools/x/replicas/r0/engine/completion"),
    ("GET", "/nowhere"),
]
CREDENTIALS = [
    ({}, 401, "MISSING_TOKEN"),
    ({"Authorization": "Bearer wrong"}, 401, "BAD_TOKEN"),
    ({"X-API-Key": "wrong"}, 401, "BAD_TOKEN"),
    ({"Authorization": f"Basic {TOKEN}"}, 401, "BAD_TOKEN"),
    ({"Authorization": f"Bearer {TOKEN}", "X-API-Key": "other"}, 401, "BAD_TOKEN"),
    ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}, 403, "FORBIDDEN"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(("headers", "status", "code"), CREDENTIALS)
def test_a_route_opens_to_the_service_token_only(
    bare: Node, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    answered, body = bare.call(method, path, headers=headers)
    assert (answered, body["code"]) == (status, code)


@pytest.mark.parametrize("headers", [{"X-API-Key": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}])
def test_the_token_comes_in_either_header(bare: Node, headers: dict[str, str]) -> None:
    assert bare.call("GET", "/v2/pools", headers=headers) == (200, {"pools": []})


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_health_and_metrics_are_open_and_hold_nothing_secret(bare: Node, path: str) -> None:
    status, body = bare.call("GET", path, headers={})
    assert status == 200
    assert TOKEN not in str(body)


def test_the_node_tells_what_it_registers_with(bare: Node) -> None:
    _, first = bare.call("GET", "/v2/node")
    _, second = bare.call("GET", "/v2/node")
    assert first["node_id"] == "node-a"
    assert first["address"] == bare.url
    assert first["incarnation"] == second["incarnation"]
    assert second["seq"] > first["seq"]
    assert first["capabilities"]["cpu_cores"] >= 1


def test_what_is_not_there_is_told_by_name(bare: Node) -> None:
    for method, path, code in (
        ("GET", "/v2/pools/x/status", "POOL_NOT_FOUND"),
        ("POST", "/v2/pools/x/preload", "POOL_NOT_FOUND"),
        ("GET", "/v2/pools/other-node:x/status", "POOL_NOT_FOUND"),
        ("GET", "/v2/catalog/models/x", "MODEL_NOT_FOUND"),
        ("GET", "/v2/pools/x/replicas/r0/engine/health", "POOL_NOT_FOUND"),
        ("GET", "/v2/tasks", "NOT_FOUND"),
    ):
        status, body = bare.call(method, path)
        assert (status, body["code"]) == (404, code), path


def test_a_reload_names_a_pool_and_a_model(bare: Node) -> None:
    wish = {"new_model_ref": "file:/other.gguf"}
    status, body = bare.call("POST", "/v2/pools/x/reload", wish)
    assert (status, body["code"]) == (404, "POOL_NOT_FOUND")
    status, body = bare.call("POST", "/v2/pools/x/reload", {"model": "other"})
    assert (status, body["code"]) == (400, "INVALID_PARAMS")


def test_a_demand_names_a_pool_and_is_checked(bare: Node) -> None:
    told = {
        "source": "00000000-0000-4000-8000-000000000001",
        "seq": 1,
        "valid_ms": 1000,
        "max_wait_ms": 1000,
        "models": [{"model_id": "m", "waiting": 1, "oldest_ms": 0, "of_a_later_version": 1}],
    }
    status, body = bare.call("POST", "/v2/pools/x/demand", told)
    assert (status, body["code"]) == (404, "POOL_NOT_FOUND")
    status, body = bare.call("POST", "/v2/pools/x/demand", told | {"seq": -1})
    assert (status, body["code"]) == (400, "INVALID_PARAMS")
    assert bare.call("POST", "/v2/pools/x/demand", told, headers={})[0] == 401


def test_a_callback_url_is_stored_and_a_wrong_one_refused(bare: Node) -> None:
    url = "http://127.0.0.1:1/v2/callbacks/pool-ready"
    assert bare.call("POST", "/v2/callbacks/register", {"url": url}) == (200, {"url": url})
    assert bare.call("POST", "/v2/callbacks/register", {"url": "ftp://x"})[0] == 400
