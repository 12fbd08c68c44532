"""Real engines: started, killed, hung, broken, adopted."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import demo_model
from engine_provisioner import (
    EngineProcess,
    EngineState,
    EngineSupervisor,
    Limits,
    handoff_path,
    identify,
    plan_engine,
    read_handoff,
    stop_orphans,
)
from engine_provisioner.handoff import adopted_path, log_path, status_path
from pool_registry_types import HandoffModel

QUICK = Limits(hang_ms=300, stop_ms=2_500, backoff_base_ms=20, backoff_cap_ms=100)

CRASHING_PARENT = """
import asyncio, sys
from pathlib import Path
from engine_provisioner import *
from pool_registry_types import HandoffModel

async def main(folder, model):
    size = model.stat().st_size
    wish = EngineWish(
        "demo", "r0", HandoffModel(id="recital", path=str(model), size_bytes=size),
        slots=2, ctx_tokens=512, on_gpu=False, threads=1,
    )
    plan = plan_engine(wish, await survey_machine())
    ready = asyncio.Event()
    def on_change(status):
        if status.state is EngineState.READY:
            ready.set()
    async with EngineProbe.running() as probe:
        async with EngineSupervisor.running(plan, folder, probe=probe, on_change=on_change):
            await ready.wait()
            print("ready", flush=True)
            await asyncio.Event().wait()

asyncio.run(main(*map(Path, sys.argv[1:])))
"""


@pytest.fixture
def supervised(survey, probe, watch, tmp_path):
    def make(wish, **more):
        return EngineSupervisor.running(
            plan_engine(wish, survey),
            tmp_path,
            probe=probe,
            on_change=watch,
            limits=more.pop("limits", QUICK),
            **more,
        )

    return make


@pytest.fixture
def crashed_parent(model_file, tmp_path):
    """Start an engine under a supervisor of another process, and kill that process."""
    with subprocess.Popen(
        [sys.executable, "-c", CRASHING_PARENT, str(tmp_path), str(model_file)],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
    payload = read_handoff(tmp_path, "demo", "r0")
    yield payload
    with suppress(ProcessLookupError):
        os.kill(payload.pid, signal.SIGKILL)


async def test_an_engine_serves_after_its_handoff_is_written_and_ends_without_a_trace(
    supervised, wish, watch, tmp_path
):
    async with supervised(wish()):
        status = await watch.until(EngineState.READY)
        payload = read_handoff(tmp_path, "demo", "r0")
        assert (payload.pid, payload.slots, payload.ctx_max) == (status.pid, 2, 512)
        assert payload.engine_key
    assert identify(status.pid) is None
    assert not handoff_path(tmp_path, "demo", "r0").exists()
    assert watch.seen[-1].state is EngineState.STOPPED


async def test_a_killed_engine_comes_back_by_itself_as_a_new_generation(supervised, wish, watch):
    async with supervised(wish()):
        first = await watch.until(EngineState.READY)
        os.kill(first.pid, signal.SIGKILL)
        second = await watch.until(EngineState.READY, generation=2)
        assert second.pid != first.pid
        assert second.restarts == 1
        assert "SIGKILL: somebody killed it" in second.last_error


async def test_a_hanging_engine_is_killed_and_replaced(supervised, wish, watch):
    async with supervised(wish()):
        first = await watch.until(EngineState.READY)
        os.kill(first.pid, signal.SIGSTOP)
        await watch.until(EngineState.UNRESPONSIVE)
        await watch.until(EngineState.READY, generation=2)
        assert identify(first.pid) is None


async def test_a_stopped_process_that_ignores_the_request_is_killed(supervised, wish, watch):
    async with supervised(wish(), limits=Limits(stop_ms=50, kill_ms=1_000)):
        status = await watch.until(EngineState.READY)
        os.kill(status.pid, signal.SIGSTOP)
    assert identify(status.pid) is None


async def test_a_broken_model_fails_with_the_cause_that_the_engine_gave(
    supervised, wish, watch, model_file, tmp_path
):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model_file.read_bytes()[:3000])
    model = HandoffModel(id="broken", path=str(broken), size_bytes=3000)
    async with supervised(wish(model=model)):
        failed = await watch.until(EngineState.FAILED)
    assert "failed to read key-value pairs" in failed.last_error


async def test_an_engine_that_is_kept_is_adopted_by_the_next_run_without_a_new_load(
    supervised, wish, watch
):
    async with supervised(wish(), keep_on_exit=True):
        first = await watch.until(EngineState.READY)
    assert identify(first.pid) is not None
    watch.seen.clear()
    async with supervised(wish()):
        second = await watch.until(EngineState.READY)
        assert (second.pid, second.adopted) == (first.pid, True)
    # In this test the adopted engine happens to be a child, too.
    os.waitpid(first.pid, 0)


@pytest.mark.parametrize("put_away", [False, True])
async def test_an_engine_whose_daemon_was_killed_is_adopted_with_its_pid(
    crashed_parent, supervised, wish, watch, tmp_path, put_away
):
    if put_away:
        away = adopted_path(tmp_path, "demo", "r0")
        away.parent.mkdir()
        handoff_path(tmp_path, "demo", "r0").rename(away)
    async with supervised(wish()):
        status = await watch.until(EngineState.READY)
        assert status.pid == crashed_parent.pid
        assert status.adopted
        assert read_handoff(tmp_path, "demo", "r0") == crashed_parent
    assert identify(crashed_parent.pid) is None


async def test_an_adopted_engine_that_dies_is_replaced(crashed_parent, supervised, wish, watch):
    async with supervised(wish()):
        await watch.until(EngineState.READY)
        os.kill(crashed_parent.pid, signal.SIGKILL)
        status = await watch.until(EngineState.READY, generation=2)
        assert not status.adopted


async def test_a_changed_configuration_replaces_the_engine_of_the_crashed_daemon(
    crashed_parent, supervised, wish, watch, tmp_path
):
    async with supervised(wish(slots=3)):
        status = await watch.until(EngineState.READY)
        assert status.pid != crashed_parent.pid
        assert "slots 2 instead of 3" in status.last_error
        assert identify(crashed_parent.pid) is None
        assert read_handoff(tmp_path, "demo", "r0").slots == 3


async def test_an_orphan_that_hangs_is_killed_and_replaced(crashed_parent, supervised, wish, watch):
    os.kill(crashed_parent.pid, signal.SIGSTOP)
    async with supervised(wish(), limits=Limits(adopt_ms=200, stop_ms=50)):
        status = await watch.until(EngineState.READY)
        assert status.pid != crashed_parent.pid
        assert identify(crashed_parent.pid) is None


async def test_an_orphan_of_a_pool_that_is_gone_is_stopped(crashed_parent, tmp_path):
    await stop_orphans(tmp_path, keep={("demo", "r0")})
    assert identify(crashed_parent.pid) is not None
    await stop_orphans(tmp_path, keep=())
    assert identify(crashed_parent.pid) is None
    assert not handoff_path(tmp_path, "demo", "r0").exists()


async def test_the_handoff_of_a_dead_engine_is_replaced(
    crashed_parent, supervised, wish, watch, tmp_path
):
    dead = EngineProcess.attach(identify(crashed_parent.pid))
    dead.kill()
    await dead.exited()
    async with supervised(wish()):
        status = await watch.until(EngineState.READY)
        assert read_handoff(tmp_path, "demo", "r0").pid == status.pid


async def test_a_handoff_that_cannot_be_written_is_told_and_tried_again(
    supervised, wish, watch, tmp_path
):
    in_the_way = handoff_path(tmp_path, "demo", "r0")
    in_the_way.mkdir()
    async with supervised(wish(), limits=Limits()):
        status = await watch.until(EngineState.UNRESPONSIVE)
        assert "the handoff cannot be written" in status.last_error
        in_the_way.rmdir()
        watch.seen.clear()
        await watch.until(EngineState.READY)
        assert read_handoff(tmp_path, "demo", "r0").pid == status.pid


async def test_a_slow_load_does_not_hold_up_another_engine(
    survey, probe, wish, watch, tmp_path, tmp_path_factory
):
    slow = demo_model.ensure(tmp_path_factory.mktemp("slow"), spec=demo_model.SLOW)
    heavy = HandoffModel(id="slow", path=str(slow), size_bytes=slow.stat().st_size)
    seen = []
    plan = plan_engine(wish(pool_id="slow", model=heavy), survey)
    async with (
        EngineSupervisor.running(plan, tmp_path, probe=probe, on_change=seen.append, limits=QUICK),
        EngineSupervisor.running(
            plan_engine(wish(), survey), tmp_path, probe=probe, on_change=watch, limits=QUICK
        ),
    ):
        await watch.until(EngineState.READY)
    assert seen[-1].state is EngineState.STOPPED


def test_paths_that_are_no_handoffs_stay_out_of_the_watched_folder():
    folder = Path("/run/engines")
    assert status_path(folder, "p", "r0").parent != folder
    assert log_path(folder, "p", "r0").parent != folder


async def test_leaving_while_the_model_loads_leaves_no_process(supervised, wish, watch):
    async with supervised(wish()):
        status = await watch.until(EngineState.STARTING)
    assert identify(status.pid) is None


async def test_a_program_that_cannot_start_is_retried_until_the_breaker_opens(
    survey, probe, watch, wish, tmp_path
):
    plan = replace(plan_engine(wish(), survey), program=("/nowhere/engine",))
    limits = Limits(backoff_base_ms=1, backoff_cap_ms=2, storm_failures=3)
    async with EngineSupervisor.running(
        plan, tmp_path, probe=probe, on_change=watch, limits=limits
    ):
        failed = await watch.until(EngineState.FAILED)
    assert "No such file" in failed.last_error


async def test_cancelling_the_owner_stops_the_engine(supervised, wish, watch):
    async def own():
        async with supervised(wish()):
            await asyncio.Event().wait()

    owner = asyncio.create_task(own())
    status = await watch.until(EngineState.READY)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert identify(status.pid) is None
