"""The service and the pool manager beside it, each killed and started again."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from demo_model import DEMO, ENDLESS, ensure
from engine_provisioner import desired_path

from .machines import SERVICE, Machine, pool_table, until

MakeMachine = Callable[[str], Machine]


def test_the_engines_of_the_service_reach_the_manager_and_serve_in_whatever_order_both_come(
    machine: MakeMachine, models: Path
) -> None:
    model = ensure(models, spec=ENDLESS)
    here = machine(pool_table(model))
    here.manager.start()
    waiting = until(
        lambda: (
            (pool := here.manager.call("GET", "/v2/pools/main/status")[1])["last_error"] and pool
        ),
        "the manager says what is missing",
    )
    assert "engine-provisionerd" in waiting["last_error"]
    assert "does not run" in waiting["last_error"]
    assert waiting["ready"] is False

    here.service.start()
    pool = here.until_ready(model.stem)
    assert pool["last_error"] is None
    assert here.complete(8) == ENDLESS.expected_text(8)
    engine = pool["replicas"][0]["pid"]

    # An engine is the service's business, whoever came first.
    here.manager.kill()
    here.manager.start()
    assert here.until_ready()["replicas"][0]["pid"] == engine
    here.service.kill()
    assert here.complete(4) == ENDLESS.expected_text(4)
    here.service.start()
    assert here.service.url
    assert here.until_ready()["replicas"][0]["pid"] == engine

    os.kill(engine, signal.SIGKILL)

    def another() -> bool:
        handoff = here.handoff()
        return handoff is not None and handoff["pid"] != engine

    until(another, "a new engine is handed over")
    here.until_ready()
    assert here.complete(4) == ENDLESS.expected_text(4)
    assert here.manager.stop() == 0
    assert here.handoff() is not None, "the manager has stopped what is not its own"
    assert here.service.stop() == 0
    assert here.handoff() is None


def test_a_reload_is_a_wish_that_is_answered_and_holds_across_restarts(
    machine: MakeMachine, models: Path, tmp_path: Path
) -> None:
    old, new = ensure(models, spec=ENDLESS), ensure(models, spec=DEMO)
    here = machine(pool_table(old))
    here.service.start()
    here.manager.start()
    here.until_ready(old.stem)

    answer = here.manager.call("POST", "/v2/pools/main/reload", {"new_model_ref": f"file:{new}"})
    assert answer[0] == 202
    here.until_ready(new.stem)
    handoff = here.handoff()
    assert handoff is not None
    assert (handoff["desired_generation"], handoff["desired_error"]) == (1, None)
    assert here.complete(8) == DEMO.expected_text(8)

    broken = tmp_path / "broken.gguf"
    broken.write_bytes(new.read_bytes()[:-4096])
    here.manager.call("POST", "/v2/pools/main/reload", {"new_model_ref": f"file:{broken}"})

    def told() -> str | None:
        error = here.manager.call("GET", "/v2/pools/main/status")[1]["last_error"]
        return error if error and "was not loaded" in error else None

    assert "serves on" in until(told, "the reload has failed")
    here.until_ready(new.stem)
    assert here.complete(8) == DEMO.expected_text(8)

    here.manager.kill()
    here.service.kill()
    engine = here.handoff()
    assert engine is not None
    os.kill(engine["pid"], signal.SIGKILL)
    here.manager.start()
    here.service.start()
    here.until_ready(new.stem)
    assert here.complete(4) == DEMO.expected_text(4)


def test_a_pool_that_waits_for_its_first_wish_is_started_by_one(
    machine: MakeMachine, models: Path
) -> None:
    here = machine(pool_table(ensure(models, spec=ENDLESS), preload=False))
    here.service.start()
    here.manager.start()
    until(
        lambda: here.manager.call("GET", "/v2/pools/main/status")[1]["last_error"],
        "the manager says that it waits",
    )
    assert here.handoff() is None
    assert here.manager.call("POST", "/v2/pools/main/preload")[0] == 202
    here.until_ready()


def test_a_first_wish_made_before_the_service_runs_is_followed_when_it_starts(
    machine: MakeMachine, models: Path
) -> None:
    here = machine(pool_table(ensure(models, spec=ENDLESS), preload=False))
    here.manager.start()
    assert here.manager.call("POST", "/v2/pools/main/preload")[0] == 202
    until(desired_path(here.runtime_dir, "main").exists, "the wish is written")
    here.service.start()
    here.until_ready()


def test_pools_of_the_manager_are_left_to_it_and_a_reload_without_the_service_is_refused(
    machine: MakeMachine, models: Path
) -> None:
    model = ensure(models, spec=ENDLESS)
    own = pool_table(model, id="own", provisioning={"owner": "manager"})
    here = machine(pool_table(model) + own)
    here.service.start()
    here.manager.start()
    here.until_ready()
    until(
        lambda: here.manager.call("GET", "/v2/pools/own/status")[1]["ready"],
        "the manager's own pool is ready",
    )
    names = {path.name for path in (here.runtime_dir / "service" / "run").glob("*.status")}
    assert names == {"main~r0.status"}
    status, text = here.service.call("GET", "/metrics")
    assert status == 200
    assert 'pool_ready{node_id="node-a",pool_id="main"} 1.0' in text
    assert "own" not in text

    assert here.service.stop() == 0
    assert here.manager.call("GET", "/v2/pools/own/status")[1]["ready"], "the other pool went along"
    here.manager.call("POST", "/v2/pools/main/reload", {"new_model_ref": f"file:{model}"})

    def refused() -> str | None:
        error = here.manager.call("GET", "/v2/pools/main/status")[1]["last_error"]
        return error if error and "was not loaded" in error else None

    assert "does not run" in until(refused, "the reload is refused")


def test_a_second_service_on_one_folder_does_not_start(machine: MakeMachine, models: Path) -> None:
    here = machine(pool_table(ensure(models, spec=ENDLESS)))
    here.service.start()
    assert here.service.url
    done = subprocess.run(
        [*here.command(SERVICE), "--bind-addr", "127.0.0.1:0"],
        env=here.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "already serves the pools" in done.stderr
