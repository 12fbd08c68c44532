"""Pools, models, artifacts and what the daemon tells about itself."""

import pytest

from api_types import CACHE_ROUTES, CATALOG_ROUTES, ROUTES, Route, openapi_document
from orchestratord.config import Settings
from orchestratord.http.app import HANDLERS, METRICS_PORT_OPERATIONS
from orchestratord.http.node_routes import NODE_ROUTES
from orchestratord.testing import Shell, running_shell


async def test_pools_are_listed_with_their_status(shell: Shell) -> None:
    (pool,) = (await shell.ask("GET", "/v2/pools")).json()["pools"]
    assert (pool["pool_id"], pool["slots_free"]) == ("default", 4)


@pytest.mark.parametrize("name", ["default", "node:default", "node%3Adefault"])
async def test_health_of_a_pool_has_its_numbers(shell: Shell, name: str) -> None:
    health = (await shell.ask("GET", f"/v2/pools/{name}/health")).json()
    assert health["live"]
    assert health["ready"]
    assert health["node_id"] == "node"
    assert health["device_policy"] == "gpu"
    assert health["metrics"]["queue_depth"] == 3


async def test_a_drain_is_accepted_and_a_resume_ends_it(shell: Shell) -> None:
    answer = await shell.ask("POST", "/v2/pools/default/drain", body={"deadline_ms": 5})
    assert (answer.status, answer.json()["draining"]) == (202, True)
    assert shell.pools.deadline_ms == 5
    answer = await shell.ask("POST", "/v2/pools/default/resume")
    assert (answer.status, answer.json()["draining"]) == (200, False)


async def test_a_drain_needs_no_body(shell: Shell) -> None:
    assert (await shell.ask("POST", "/v2/pools/default/drain")).status == 202
    assert shell.pools.deadline_ms == 60_000


async def test_a_drain_with_a_foolish_deadline_is_refused(shell: Shell) -> None:
    answer = await shell.ask("POST", "/v2/pools/default/drain", body={"deadline_ms": -1})
    assert answer.status == 400
    assert not shell.pools.draining


async def test_a_reload_is_accepted_and_a_second_one_finds_the_pool_busy(shell: Shell) -> None:
    wish = {"new_model_ref": "file:/other.gguf"}
    answer = await shell.ask("POST", "/v2/pools/default/reload", body=wish)
    assert (answer.status, answer.json()["pool_id"]) == (202, "default")
    assert shell.pools.new_model_ref == "file:/other.gguf"
    answer = await shell.ask("POST", "/v2/pools/default/reload", body=wish)
    assert (answer.status, answer.json()["code"]) == (409, "POOL_BUSY")


async def test_models_are_listed_and_shown(shell: Shell) -> None:
    (model,) = (await shell.ask("GET", "/v2/catalog/models")).json()["models"]
    assert (await shell.ask("GET", "/v2/catalog/models/recital")).json() == model


async def test_the_same_content_is_stored_once(shell: Shell) -> None:
    content = {"b": [1, None], "a": "x"}
    created = await shell.ask("POST", "/v2/artifacts", body={"content": content, "tags": ["t"]})
    assert created.status == 201
    artifact_id = created.json()["id"]
    shown = (await shell.ask("GET", f"/v2/artifacts/{artifact_id}")).json()
    assert shown["content"] == content
    listed = (await shell.ask("GET", "/v2/artifacts?tag=t")).json()["artifacts"]
    assert [(item["id"], item["content"]) for item in listed] == [(artifact_id, None)]


async def test_a_session_is_shown_and_forgotten(shell: Shell) -> None:
    assert (await shell.ask("GET", "/v2/sessions/known")).json()["turns"] == 1
    assert (await shell.ask("DELETE", "/v2/sessions/known")).status == 204


@pytest.mark.parametrize(
    "path", ["/v2/gpus", "/v2/node", "/v2/meta/capabilities", "/v2/meta/version", "/health"]
)
async def test_what_the_daemon_tells_about_itself_is_json(shell: Shell, path: str) -> None:
    answer = await shell.ask("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()


async def test_ready_follows_the_pools_and_lists_them(shell: Shell) -> None:
    assert (await shell.ask("GET", "/ready")).status == 200
    shell.machine.ready = False
    answer = await shell.ask("GET", "/ready")
    assert answer.status == 503
    assert answer.json()["pools"][0]["pool_id"] == "default"


async def test_metrics_are_plain_text(shell: Shell) -> None:
    answer = await shell.ask("GET", "/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert (answer.status, answer.body) == (200, b"up 1\n")


async def test_a_metrics_port_answers_nothing_else(settings: Settings) -> None:
    async with running_shell(settings, only=METRICS_PORT_OPERATIONS) as shell:
        assert (await shell.ask("GET", "/metrics")).status == 200
        assert (await shell.ask("GET", "/ready")).status == 200
        assert (await shell.ask("POST", "/v2/tasks", body={"prompt": "x"})).status == 404


async def test_the_openapi_document_is_served(shell: Shell) -> None:
    document = (await shell.ask("GET", "/openapi.json")).json()
    of_home = [route for route in ROUTES if not route.cloud_only]
    assert document["paths"].keys() >= openapi_document("0", of_home)["paths"].keys()
    assert not any(path.startswith("/v2/nodes") for path in document["paths"])


@pytest.mark.parametrize("route", NODE_ROUTES, ids=lambda route: route.operation_id)
async def test_home_has_no_nodes(shell: Shell, route: Route) -> None:
    path = route.path.replace("{node_id}", "node")
    answer = await shell.ask(route.method, path, body={})
    assert (answer.status, answer.json()["code"]) == (404, "NOT_FOUND")


def test_every_operation_of_the_contract_has_its_handler() -> None:
    ours = {*ROUTES, *NODE_ROUTES} - {*CATALOG_ROUTES, *CACHE_ROUTES}  # Those are model-keeper's.
    assert HANDLERS.keys() == {route.operation_id for route in ours}


async def test_tasks_are_shown_listed_and_canceled(shell: Shell) -> None:
    task_id = (await shell.ask("POST", "/v2/tasks", body={"prompt": "x"})).json()["task_id"]
    assert (await shell.ask("GET", f"/v2/tasks/{task_id}")).json()["state"] == "queued"
    (task,) = (await shell.ask("GET", "/v2/tasks?limit=5&state=queued")).json()["tasks"]
    assert task["task_id"] == task_id
    answer = await shell.ask("POST", f"/v2/tasks/{task_id.upper()}/cancel")
    assert (answer.status, answer.body) == (204, b"")
    assert shell.tasks.cancelled == [task_id]
