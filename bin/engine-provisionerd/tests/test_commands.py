"""What can be asked without starting anything."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from demo_model import ENDLESS, ensure
from engine_provisionerd.cli import main
from engine_provisionerd.gpus import masked
from gpu_discovery import GpuDevice, GpuInfo, GpuInventory, GpuReading

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
        + pool_table(model, id="four", provisioning={"version": "9.9.9"})
    )
    done = ask(here, "plan")
    assert done.returncode == 1
    one, two, three, four = done.stdout.splitlines()
    assert "NOT READY" in one
    assert "/nowhere/llama-server" in one
    assert "llorch pull" in two
    assert "more than" in three
    assert "not made yet" in four
    assert "xllamacpp==9.9.9" in four


def test_the_configuration_is_checked_and_shown(
    machine: MakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = machine("")
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in here.environ.items():
        monkeypatch.setenv(name, value)

    def told(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--config", str(here.config)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    assert told("config", "check") == (0, "the configuration is valid\n")
    assert "127.0.0.1:9201" in told("config", "show")[1]
    code, text = told("config", "check", "--gpu-mask", "zero")
    assert code == 2
    assert "neither a number nor" in text
    monkeypatch.setenv("LLORCH_INSECURE_PLAINTEXT", "false")
    assert "no authentication" in told("config", "check", "--bind-addr", "0.0.0.0:1")[1]
    here.config.write_text(pool_table(Path("/m.gguf"), swap_models=True))
    assert "swap_models needs" in told("config", "check")[1]
    tagged = {"mode": "container", "image": "some/image:latest"}
    here.config.write_text(pool_table(Path("/m.gguf"), provisioning=tagged))
    assert "by its digest" in told("config", "check")[1]


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
