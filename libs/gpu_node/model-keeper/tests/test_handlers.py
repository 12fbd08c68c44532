"""Models over HTTP: what is fetched, kept and collected."""

import json
from typing import Any

import pytest

from api_types import ApiError, ErrorCode, PreparationStep

from .shell import Shell

WISH = {"reference": "https://models.example/tiny.gguf"}
EVENT_STREAM = {"Accept": "text/event-stream"}
STEP = PreparationStep(
    id="fetch_model:tiny", kind="fetch_model", description="Fetch tiny", status="running"
)
AT = "/v2/catalog/models/recital"


def events_of(body: bytes) -> list[tuple[str, Any]]:
    blocks = [block.splitlines() for block in body.decode().split("\n\n") if block]
    return [(name[len("event: ") :], json.loads(data[len("data: ") :])) for name, data in blocks]


async def test_a_pull_goes_on_in_the_background_and_the_list_tells_of_it(shell: Shell) -> None:
    answer = await shell.ask("POST", "/v2/catalog/models", body=WISH)
    assert (answer.status, answer.json()["state"]) == (202, "running")
    (pull,) = (await shell.ask("GET", "/v2/catalog/models")).json()["pulls"]
    assert pull["reference"] == WISH["reference"]


async def test_a_pull_can_be_read_along_and_its_model_is_last(shell: Shell) -> None:
    shell.disk.fetcher.steps = (STEP, STEP)
    answer = await shell.ask("POST", "/v2/catalog/models", body=WISH, headers=EVENT_STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.body)
    assert [name for name, _ in events] == ["progress", "progress", "model"]
    assert events[-1][1]["model_id"] == "recital"
    assert shell.disk.fetcher.left == 1


async def test_a_pull_that_fails_at_once_has_the_status_of_its_error(shell: Shell) -> None:
    shell.disk.fetcher.error = ApiError(ErrorCode.DISK_FULL, "7 bytes are missing")
    answer = await shell.ask("POST", "/v2/catalog/models", body=WISH, headers=EVENT_STREAM)
    assert (answer.status, answer.json()["code"]) == (507, "DISK_FULL")
    assert shell.disk.fetcher.left == 1


async def test_a_pull_that_fails_later_ends_with_an_error_event(shell: Shell) -> None:
    shell.disk.fetcher.steps = (STEP,)
    shell.disk.fetcher.error = ApiError(ErrorCode.INVALID_PARAMS, "its digest is another")
    answer = await shell.ask("POST", "/v2/catalog/models", body=WISH, headers=EVENT_STREAM)
    assert answer.status == 200
    name, told = events_of(answer.body)[-1]
    assert (name, told["code"], told["message"]) == (
        *("error", "INVALID_PARAMS"),
        "its digest is another",
    )


async def test_a_model_is_pinned_verified_retired_and_offered_again(shell: Shell) -> None:
    assert (await shell.ask("POST", f"{AT}/pin")).json()["pinned"]
    unpinned = await shell.ask("POST", f"{AT}/pin", body={"pinned": False})
    assert not unpinned.json()["pinned"]
    assert (await shell.ask("POST", f"{AT}/verify")).json()["verdict"] == "intact"
    assert (await shell.ask("DELETE", AT)).json()["state"] == "Retired"
    active = await shell.ask("PATCH", f"{AT}/state", body={"state": "Active"})
    assert active.json()["state"] == "Active"


async def test_a_purge_deletes_and_leaves_nothing_to_say(shell: Shell) -> None:
    answer = await shell.ask("DELETE", f"{AT}?purge=true")
    assert (answer.status, answer.body) == (204, b"")
    assert shell.disk.keeper.model is None
    assert (await shell.ask("POST", f"{AT}/verify")).json()["code"] == "MODEL_NOT_FOUND"


@pytest.mark.parametrize("query", ["", "?purge=true"])
async def test_a_model_in_use_is_kept(shell: Shell, query: str) -> None:
    shell.disk.keeper.in_use = True
    answer = await shell.ask("DELETE", AT + query)
    assert (answer.status, answer.json()["code"]) == (409, "MODEL_IN_USE")


async def test_a_plan_is_told_and_only_a_run_collects(shell: Shell) -> None:
    plan = (await shell.ask("GET", "/v2/catalog/gc/plan")).json()
    assert plan["decisions"][0]["explanation"] == "it was retired 9 days ago"
    assert shell.disk.collector.runs == 0
    ran = await shell.ask("POST", "/v2/catalog/gc/run")
    assert (ran.json()["freed_bytes"], shell.disk.collector.runs) == (7, 1)


async def test_the_disk_of_another_node_is_not_ours(shell: Shell) -> None:
    answer = await shell.ask("POST", "/v2/catalog/gc/run?node_id=other")
    assert (answer.status, answer.json()["code"]) == (404, "NODE_UNKNOWN")
    assert shell.disk.collector.runs == 0


async def test_a_model_is_staged_listed_and_let_go(shell: Shell) -> None:
    at = "/v2/model-cache/recital"
    answer = await shell.ask("POST", at, body={"pinned": True})
    assert (answer.status, answer.json()["pinned"]) == (202, True)
    (staged,) = (await shell.ask("GET", "/v2/model-cache")).json()["models"]
    assert staged["model_id"] == "recital"
    assert (await shell.ask("DELETE", at)).status == 204
    assert (await shell.ask("DELETE", at)).json()["code"] == "MODEL_NOT_FOUND"
    shell.disk.stager.in_use = True
    assert (await shell.ask("POST", at)).json()["code"] == "MODEL_IN_USE"
