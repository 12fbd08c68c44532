"""Calls about models: fetched, kept, collected."""

import json

import pytest

from api_types import ModelView, PreparationStep
from orchestrator_client import ApiStatusError, Client, ConnectionLost, SyncClient
from orchestrator_client.testing import FakeOrchestratord

STEP = {"id": "s", "kind": "fetch_model", "description": "Fetch tiny", "status": "running"}
MODEL = {"model_id": "tiny", "reference": "hf:org/tiny", "state": "Active"}
AT = "/v2/catalog/models/tiny"


async def test_a_pull_yields_its_steps_and_the_model_last(
    fake: FakeOrchestratord, client: Client
) -> None:
    fake.pull = [("progress", STEP), ("later-version", {}), ("model", MODEL)]
    items = [item async for item in client.pull("hf:org/tiny", digest=f"sha256:{'0' * 64}")]
    assert [type(item) for item in items] == [PreparationStep, ModelView]
    assert json.loads(fake.requests[-1].body)["digest"] == f"sha256:{'0' * 64}"


async def test_a_pull_that_fails_raises_what_the_server_says(
    fake: FakeOrchestratord, client: Client
) -> None:
    told = {"code": "DISK_FULL", "message": "full", "retriable": False, "correlation_id": "c"}
    fake.pull = [("progress", STEP), ("error", told)]
    with pytest.raises(ApiStatusError, match="DISK_FULL: full") as caught:
        _ = [item async for item in client.pull("hf:org/tiny")]
    assert caught.value.status == 507


async def test_a_pull_that_is_cut_is_told(fake: FakeOrchestratord, client: Client) -> None:
    fake.pull = [("progress", STEP)]
    with pytest.raises(ConnectionLost):
        _ = [item async for item in client.pull("hf:org/tiny")]


async def test_a_pull_can_be_left_to_the_background(
    fake: FakeOrchestratord, client: Client
) -> None:
    assert (await client.start_pull("hf:org/tiny")).state == "running"
    assert fake.requests[-1].headers["Accept"] == "application/json"


async def test_models_are_kept_and_given_up(fake: FakeOrchestratord, client: Client) -> None:
    fake.documents = {
        AT: MODEL,
        f"{AT}/pin": MODEL | {"pinned": True},
        f"{AT}/state": MODEL,
        f"{AT}/verify": {"model_id": "tiny", "verdict": "intact", "expected": "x"},
        "/v2/catalog/gc/run": {"freed_bytes": 7},
    }
    assert (await client.pin("tiny")).pinned
    assert (await client.verify("tiny")).verdict == "intact"
    await client.set_model_state("tiny", "Retired")
    assert (fake.requests[-1].method, json.loads(fake.requests[-1].body)) == (
        *("PATCH",),
        {"state": "Retired"},
    )
    await client.retire("tiny")
    await client.purge("tiny")
    assert fake.requests[-1].method == "DELETE"
    assert (await client.gc_run()).freed_bytes == 7


def test_the_blocking_client_pulls_too() -> None:
    assert {"pull", "reload", "gc_plan", "gc_run", "pin", "retire"} <= set(dir(SyncClient))
