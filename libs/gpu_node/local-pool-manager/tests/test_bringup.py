import pytest

from engine_provisioner import PreflightError
from gpu_discovery import DevicePolicy, discover
from gpu_discovery.testing import FakeNvml, fake_device
from local_pool_manager.bringup import DevicesMissing, choose_devices, retry_pause_s, wish_for
from local_pool_manager.testing import NO_GPU, small_pool

TWO = discover(FakeNvml([fake_device(0), fake_device(1)]))


def test_under_the_gpu_policy_a_machine_without_gpu_says_what_was_looked_for():
    with pytest.raises(DevicesMissing, match="NVML"):
        choose_devices(small_pool(), DevicePolicy.GPU, NO_GPU)


def test_under_the_cpu_policy_no_gpu_is_used_even_if_there_is_one():
    assert choose_devices(small_pool(), DevicePolicy.CPU, TWO) == ()


def test_a_pool_gets_the_devices_that_it_names_or_all():
    assert choose_devices(small_pool(), DevicePolicy.GPU, TWO) == TWO.infos
    assert choose_devices(small_pool(devices=("1",)), DevicePolicy.GPU, TWO) == TWO.infos[1:]
    with pytest.raises(DevicesMissing, match="names no device"):
        choose_devices(small_pool(devices=("7",)), DevicePolicy.GPU, TWO)


def test_the_context_is_the_models_own_up_to_a_bound(model):
    assert wish_for(small_pool(ctx=None), model, ()).ctx_tokens == 4096
    short = model.model_copy(
        update={"header": model.header.model_copy(update={"context_length": 1000})}
    )
    assert wish_for(small_pool(ctx=None), short, ()).ctx_tokens == 1000
    with pytest.raises(PreflightError, match="trained"):
        wish_for(small_pool(ctx=2000), short, ())


def test_engines_get_their_gpus_by_uuid(model):
    wish = wish_for(small_pool(), model, TWO.infos)
    assert wish.on_gpu
    assert wish.devices == tuple(gpu.uuid for gpu in TWO.infos)


def test_retries_slow_down_to_one_a_minute():
    assert [retry_pause_s(attempt) for attempt in (0, 1, 2, 20)] == [1, 2, 4, 60]
