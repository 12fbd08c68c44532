import pytest

from engine_provisioner import (
    EngineMode,
    EngineNotAvailableError,
    ModeNotProvidedError,
    PreflightError,
    Survey,
    plan_engine,
)
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


@pytest.mark.parametrize("mode", [EngineMode.CONTAINER])
def test_a_mode_that_this_version_lacks_is_refused_by_name(wish, mode):
    with pytest.raises(ModeNotProvidedError, match=mode.value):
        plan_engine(wish(mode=mode), CPU)


def test_another_engine_is_refused_by_name(wish):
    with pytest.raises(ModeNotProvidedError, match="vllm"):
        plan_engine(wish(engine="vllm"), CPU)


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
