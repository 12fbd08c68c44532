from dataclasses import replace
from pathlib import Path

import pytest

from engine_provisioner import (
    EngineMode,
    EngineNotAvailableError,
    ModeNotProvidedError,
    PreflightError,
    Survey,
    plan_engine,
)
from engine_provisioner.choosing import choose_mode
from pool_registry_types import HandoffModel

CPU = Survey(cpu_cores=8, wheel_version="2026.1")
GPU = Survey(cpu_cores=8, wheel_version="2026.1", wheel_gpus=("NVIDIA Test",))


def test_equal_wishes_and_facts_give_equal_plans(wish):
    assert plan_engine(wish(), CPU) == plan_engine(wish(), CPU)
    assert str(plan_engine(wish(), CPU)) == str(plan_engine(wish(), CPU))


def test_half_of_the_cores_compute_unless_told_otherwise(wish):
    flags = plan_engine(wish(threads=None), CPU).flags
    assert flags[flags.index("--threads") + 1] == "4"
    flags = plan_engine(wish(threads=3), CPU).flags
    assert flags[flags.index("--threads") + 1] == "3"


def test_the_cpu_policy_hides_the_gpus_and_says_cpu(wish):
    plan = plan_engine(wish(), GPU)
    assert plan.device_mask == "cpu"
    assert plan.environment == {"CUDA_VISIBLE_DEVICES": ""}
    assert plan.flags[plan.flags.index("--gpu-layers") + 1] == "0"


def test_a_gpu_pool_puts_all_layers_on_the_gpu_and_maps_no_file(wish):
    plan = plan_engine(wish(on_gpu=True, devices=("GPU-1", "GPU-2")), GPU)
    assert plan.flags[plan.flags.index("--gpu-layers") + 1] == "99"
    assert "--no-mmap" in plan.flags
    assert plan.environment == {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}
    assert plan.device_mask == "GPU-1,GPU-2"


def test_shares_of_the_devices_are_passed_on_where_there_are_devices(wish):
    split = {"tensor_split": (3.0, 1.0)}
    flags = plan_engine(wish(on_gpu=True, **split), GPU).flags
    assert flags[flags.index("--tensor-split") + 1] == "3,1"
    assert "--tensor-split" not in plan_engine(wish(**split), GPU).flags


def test_a_gpu_pool_with_a_cpu_wheel_names_all_four_ways(wish):
    with pytest.raises(EngineNotAvailableError) as caught:
        plan_engine(wish(on_gpu=True), CPU)
    for way in ("llama-server", "CPU-only", "container", "nvcc"):
        assert way in str(caught.value)


def test_a_missing_wheel_is_told_with_the_command_that_installs_it(wish):
    survey = Survey(cpu_cores=2, wheel_trouble="No module named 'xllamacpp'")
    with pytest.raises(EngineNotAvailableError, match="pip install"):
        plan_engine(wish(), survey)


def test_an_engine_that_nobody_provides_is_refused_by_name(wish):
    with pytest.raises(ModeNotProvidedError, match="sglang"):
        plan_engine(wish(engine="sglang"), CPU)


def test_a_model_file_that_is_missing_or_no_gguf_is_refused_before_a_start(wish, tmp_path):
    missing = HandoffModel(id="m", path=str(tmp_path / "none.gguf"), size_bytes=0)
    with pytest.raises(PreflightError, match="No such file"):
        plan_engine(wish(model=missing), CPU)
    text = tmp_path / "text.gguf"
    text.write_text("hello world")
    other = HandoffModel(id="m", path=str(text), size_bytes=11)
    with pytest.raises(PreflightError, match="not a GGUF"):
        plan_engine(wish(model=other), CPU)


def test_the_key_is_not_on_the_command_line(wish, tmp_path):
    command = plan_engine(wish(), CPU).command(tmp_path / "status")
    assert "--key-on-stdin" in command


def test_on_a_gpu_the_first_way_that_works_is_taken_and_pinning_a_version_leaves_the_path_out(
    wish, tmp_path
):
    server = tmp_path / "llama-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    image = "ghcr.io/ggml-org/llama.cpp:server-cuda@sha256:" + "a" * 64
    all_four = Survey(
        cpu_cores=8,
        wheel_version="2026.1",
        wheel_gpus=("NVIDIA Test",),
        llama_server=str(server),
        llama_server_gpus=True,
        podman="/usr/bin/podman",
        nvcc="/usr/bin/nvcc",
    )
    named = {"on_gpu": True, "image": image, "tree": tmp_path}

    def way(survey, **changes):
        return choose_mode(wish(**named, **changes), survey)

    assert way(all_four) is EngineMode.BINARY
    assert way(all_four, version="2026.1") is EngineMode.PACKAGE
    no_server = replace(all_four, llama_server_gpus=False)
    assert way(no_server) is EngineMode.PACKAGE
    cpu_wheel = replace(no_server, wheel_gpus=())
    assert way(cpu_wheel) is EngineMode.CONTAINER
    assert way(replace(cpu_wheel, podman=None)) is EngineMode.SOURCE
    assert way(cpu_wheel, runtime="docker") is EngineMode.SOURCE
    nothing = replace(cpu_wheel, podman=None, nvcc=None)
    with pytest.raises(EngineNotAvailableError, match="no nvcc"):
        way(nothing)
    with pytest.raises(EngineNotAvailableError, match=r"provisioning\.image.*provisioning\.source"):
        choose_mode(wish(on_gpu=True), cpu_wheel)


def test_a_container_gets_its_gpus_by_each_runtimes_own_word(wish):
    image = "some/image@sha256:" + "0" * 64
    both = Survey(cpu_cores=2, podman="/bin/podman", docker="/bin/docker")
    container = {"mode": EngineMode.CONTAINER, "image": image, "on_gpu": True}

    def options(**changes):
        flags = plan_engine(wish(**{**container, **changes}), both).flags
        return [flag for flag in flags if flag.startswith("--run-option=")]

    devices = ("GPU-1", "GPU-2")
    assert options(devices=devices) == [
        "--run-option=--device=nvidia.com/gpu=GPU-1",
        "--run-option=--device=nvidia.com/gpu=GPU-2",
    ]
    assert options() == ["--run-option=--device=nvidia.com/gpu=all"]
    assert options(devices=devices, runtime="docker") == [
        '--run-option=--gpus="device=GPU-1,GPU-2"'
    ]
    assert options(runtime="docker") == ["--run-option=--gpus=all"]
    assert options(on_gpu=False) == []


def test_a_container_sees_the_model_in_a_folder_of_its_own_and_no_key_is_on_its_command(wish):
    image = "some/image@sha256:" + "0" * 64
    plan = plan_engine(
        wish(mode=EngineMode.CONTAINER, image=image), Survey(cpu_cores=2, podman="/bin/podman")
    )
    model = wish().model
    assert plan.flags[plan.flags.index("--models") + 1] == str(Path(model.path).parent)
    assert plan.flags[plan.flags.index("--model") + 1] == f"/models/{Path(model.path).name}"
    assert plan.flags[plan.flags.index("--key-variable") + 1] == "LLAMA_API_KEY"
    assert plan.engine_version == "container-000000000000"


@pytest.mark.parametrize("image", [None, "some/image", "some/image:1.0", "some/image@sha256:12"])
def test_an_image_without_a_digest_is_refused(wish, image):
    survey = Survey(cpu_cores=2, podman="/bin/podman")
    with pytest.raises(PreflightError, match="by its digest"):
        plan_engine(wish(mode=EngineMode.CONTAINER, image=image), survey)


def test_a_container_without_a_runtime_is_refused(wish):
    image = "some/image@sha256:" + "0" * 64
    with pytest.raises(PreflightError, match="podman or docker"):
        plan_engine(wish(mode=EngineMode.CONTAINER, image=image), Survey(cpu_cores=2))


def test_vllm_is_planned_from_an_environment_or_an_image(wish, tmp_path):
    model = HandoffModel(id="m", path=str(tmp_path), size_bytes=1)
    vllm = {"engine": "vllm", "model": model, "on_gpu": True, "devices": ("GPU-1", "GPU-2")}
    survey = Survey(cpu_cores=2, podman="/bin/podman")
    with pytest.raises(PreflightError, match=r"provisioning\.version"):
        plan_engine(wish(**vllm), survey)
    python = tmp_path / "vllm-0.32.0-0123/bin/python"
    plan = plan_engine(wish(**vllm, python=python), survey)
    assert plan.flags[:2] == ("--key-variable", "VLLM_API_KEY")
    assert plan.flags[3:6] == (str(python.with_name("vllm")), "serve", str(tmp_path))
    assert plan.flags[-2:] == ("--tensor-parallel-size", "2")
    assert plan.environment == {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}
    image = "vllm/vllm-openai@sha256:" + "1" * 64
    inside = plan_engine(wish(**vllm, mode=EngineMode.CONTAINER, image=image), survey)
    assert inside.flags[inside.flags.index("--") + 1] == f"/models/{tmp_path.name}"
    with pytest.raises(ModeNotProvidedError, match="'container'"):
        plan_engine(wish(**vllm, mode=EngineMode.BINARY), survey)
