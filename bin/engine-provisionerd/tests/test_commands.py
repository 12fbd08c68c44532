"""What can be asked without starting anything."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from demo_model import ENDLESS, ensure
from engine_provisionerd.config import OTHERS_KEYS, SCHEMA
from engine_provisionerd.gpus import masked
from gpu_discovery import GpuDevice, GpuInfo, GpuInventory, GpuReading
from orchestratord.config import SCHEMA as CONTROL_PLANE
from pool_managerd.config import SCHEMA as NODE

from .machines import SERVICE, Machine, pool_table

MakeMachine = Callable[[str], Machine]


def ask(here: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the program."""
    return subprocess.run(
        here.command(SERVICE, *arguments),
        env=here.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_plan_is_printed_twice_the_same_and_nothing_is_started_or_written(
    machine: MakeMachine, models: Path
) -> None:
    model = ensure(models, spec=ENDLESS)
    external = '[[pools]]\nid = "far"\nengine = "vllm"\nprovisioning = { mode = "external" }\n'
    here = machine(pool_table(model, slots=2) + external)
    first, second = ask(here, "plan"), ask(here, "plan")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    main, far = first.stdout.splitlines()
    assert main.startswith("main (owner service, mode package): llamacpp for main/r0 by package")
    for part in ("--slots 2", "--ctx 1024", str(model), "CUDA_VISIBLE_DEVICES=''"):
        assert part in main
    assert "somebody else starts it" in far
    assert not here.runtime_dir.exists()
    assert here.processes() == []


def test_a_plan_says_of_each_pool_what_is_missing(machine: MakeMachine, models: Path) -> None:
    model = ensure(models, spec=ENDLESS)
    binary = {"mode": "binary", "path": "/nowhere/llama-server", "owner": "service"}
    here = machine(
        pool_table(model, id="one", provisioning=binary)
        + pool_table(model, id="two", model_ref="hf:some/model/file.gguf")
        + pool_table(model, id="three", ctx=2_000_000)
    )
    done = ask(here, "plan")
    assert done.returncode == 1
    one, two, three = done.stdout.splitlines()
    assert "NOT READY" in one
    assert "/nowhere/llama-server" in one
    assert "llorch pull" in two
    assert "more than" in three


def test_the_configuration_is_checked_and_shown(machine: MakeMachine) -> None:
    here = machine("")
    assert ask(here, "config", "check").stdout == "the configuration is valid\n"
    assert "127.0.0.1:9201" in ask(here, "config", "show").stdout
    wrong = ask(here, "config", "check", "--gpu-mask", "zero", "--bind-addr", "0.0.0.0:1")
    assert wrong.returncode == 2
    assert "neither a number nor" in wrong.stderr
    here.environ["LLORCH_INSECURE_PLAINTEXT"] = "false"
    open_to_all = ask(here, "config", "check", "--bind-addr", "0.0.0.0:1")
    assert "no authentication" in open_to_all.stderr
    swapping = pool_table(Path("/m.gguf"), swap_models=True)
    here.config.write_text(swapping)
    assert "swap_models needs" in ask(here, "config", "check").stderr


def test_a_file_for_the_programs_beside_it_serves_here_as_it_is() -> None:
    others = {*CONTROL_PLANE.settings.model_fields, *NODE.settings.model_fields}
    assert others - set(SCHEMA.settings.model_fields) <= OTHERS_KEYS
    assert others >= OTHERS_KEYS


@pytest.mark.parametrize(
    ("mask", "left"), [((), [0, 1]), (("1",), [1]), (("GPU-a",), [0]), (("7",), [])]
)
def test_a_mask_leaves_its_devices_only_and_none_if_it_is_wrong(
    mask: tuple[str, ...], left: list[int]
) -> None:
    devices = tuple(
        GpuDevice(
            GpuInfo(device_id=index, uuid=f"GPU-{name}", name="Test", vram_total_bytes=1),
            GpuReading(total_bytes=1, used_bytes=0, free_bytes=1),
        )
        for index, name in enumerate("ab")
    )
    seen = masked(GpuInventory(devices=devices), mask)
    assert [device.info.device_id for device in seen.devices] == left
    assert (seen.reason is None) == bool(left)
