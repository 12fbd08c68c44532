"""What staging is for: an engine that starts from a staged model, and from a cold disk."""

import asyncio
import os
import time
from statistics import median

import pytest

import demo_model
from engine_provisioner import (
    EngineProbe,
    EngineState,
    EngineSupervisor,
    EngineWish,
    plan_engine,
    survey_machine,
)
from model_cache import ModelCache
from model_cache.pages import forget
from pool_registry_types import HandoffModel

BIG = demo_model.Recital(
    "big", "One~model that is~large says~little", embedding_length=2048, feed_forward_length=81_920
)
ROUNDS = 3


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_an_engine_starts_faster_from_a_staged_model_than_from_a_cold_disk(tmp_path, capsys):
    # Weights that take long to unpack would hide the disk behind the first run.
    path = demo_model.build(tmp_path / "big.gguf", spec=BIG, in_f16=True)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    size = path.stat().st_size
    wish = EngineWish(
        *("demo", "r0", HandoffModel(id="big", path=str(path), size_bytes=size)),
        slots=1,
        ctx_tokens=64,
        on_gpu=False,
        threads=2,
    )
    plan = plan_engine(wish, await survey_machine())

    async def start_s() -> float:
        ready = asyncio.Event()
        began = time.perf_counter()
        async with (
            EngineProbe.running() as probe,
            EngineSupervisor.running(
                plan,
                tmp_path,
                probe=probe,
                on_change=lambda status: status.state is EngineState.READY and ready.set(),
            ),
        ):
            await ready.wait()
            return time.perf_counter() - began

    cold, staged = [], []
    async with ModelCache.running(2 * size) as cache:
        for _ in range(ROUNDS):
            forget(path)
            cold.append(await start_s())
            forget(path)
            cache.stage("big", path)
            method = (await cache.settled("big")).method
            staged.append(await start_s())
            cache.unstage("big")
    with capsys.disabled():
        print(
            f"\n{size >> 20} MiB, ready in: cold {median(cold):.2f} s, "
            f"staged ({method}) {median(staged):.2f} s, {median(cold) / median(staged):.1f} times"
        )
    assert median(staged) < median(cold)
