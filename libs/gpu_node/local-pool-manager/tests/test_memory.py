"""The arithmetic of memory, on mixed devices made of data."""

import json

from hypothesis import given
from hypothesis import strategies as st

from catalog_core import GgufHeader
from gpu_discovery import GpuProcess, discover
from gpu_discovery.testing import GIB, FakeNvml, fake_device
from local_pool_manager.bringup import read_head_sizes
from local_pool_manager.memory import (
    DEVICE_OVERHEAD_BYTES,
    HeadSizes,
    MemoryNeed,
    estimate,
    rooms,
    shortage,
    used_by,
)
from local_pool_manager.records import MeasuredMemory, ModelChoices

HEADER = GgufHeader(
    version=3,
    architecture="qwen3",
    quantization="Q8_0",
    size_bytes=8 * GIB,
    tensor_count=1,
    tensor_bytes=8 * GIB,
    parameter_count=8_000_000_000,
    context_length=40_960,
    embedding_length=4_096,
    block_count=36,
    head_count=32,
    head_count_kv=8,
    vocab_size=151_936,
)
MIXED = FakeNvml(
    [
        fake_device(0, total_bytes=48 * GIB),
        fake_device(
            1, total_bytes=24 * GIB, used_bytes=4 * GIB, processes=(GpuProcess(7, 4 * GIB),)
        ),
        fake_device(2, total_bytes=24 * GIB),
        fake_device(3, total_bytes=8 * GIB),
    ]
)


def need(gib: float) -> MemoryNeed:
    return MemoryNeed(round(gib * GIB), "made up")


def lacking(gib: float, **more) -> str | None:
    return shortage(need(gib), rooms(discover(MIXED).devices), **more)


def test_the_need_is_weights_cache_and_buffers():
    got = estimate(HEADER, ctx_tokens=8_192, slots=4)
    cache = 36 * 8 * (128 + 128) * 8_192 * 4 * 2
    buffers = 512 * (151_936 + 12 * 4_096) * 4
    assert got.total_bytes == 8 * GIB + cache + buffers
    assert "weights 8.00 GiB" in got.story
    assert "36 blocks x 8 heads x 128+128 x 8192 tokens x 4 slots x 2 B" in got.story


def test_heads_that_are_wider_than_the_embedding_makes_them_are_read_from_the_file(model, tmp_path):
    def key(name: str, value: int) -> bytes:
        raw = name.encode()
        return (
            len(raw).to_bytes(8, "little")
            + raw
            + (4).to_bytes(4, "little")
            + value.to_bytes(4, "little")
        )

    path = tmp_path / "wide.gguf"
    path.write_bytes(
        b"GGUF" + key("qwen3.attention.key_length", 128) + key("qwen3.attention.value_length", 96)
    )
    assert read_head_sizes(path, "qwen3") == HeadSizes(128, 96)
    assert read_head_sizes(path, "llama") is None
    wide = estimate(HEADER, ctx_tokens=100, slots=1, heads=HeadSizes(256, 256))
    assert wide.total_bytes > estimate(HEADER, ctx_tokens=100, slots=1).total_bytes


def test_without_shares_an_engine_spreads_over_what_is_free():
    assert lacking(97) is None
    assert "GPU 0 (NVIDIA Test) would take" in lacking(99)


def test_with_shares_the_device_that_is_smallest_for_its_share_decides():
    even = (1.0, 1.0, 1.0, 1.0)
    assert lacking(28, shares=even) is None
    told = lacking(32, shares=even)
    assert "GPU 3 (NVIDIA Test) would take 8.00 GiB + 512.0 MiB" not in told
    assert told.count("would take") == 1
    assert "GPU 3" in told
    assert "8.00 GiB free of 8.00 GiB" in told
    assert lacking(44, shares=(1.0,)) is None, "devices beyond the shares take nothing"


def test_foreign_memory_is_named_and_ours_is_not():
    told = lacking(120)
    assert "4.00 GiB are held by processes that are not ours" in told
    ours = shortage(need(120), rooms(discover(MIXED).devices, ours={7}))
    assert "not ours" not in ours


def test_what_leaves_first_counts_as_free():
    devices = discover(MIXED).devices
    assert used_by(devices, {7}) == {devices[1].info.uuid: 4 * GIB}
    assert lacking(99, returned=used_by(devices, {7})) is None


def test_a_device_that_disappeared_has_no_room():
    FEWER = FakeNvml(["GPU is lost", *MIXED.devices[1:]])
    assert shortage(need(60), rooms(discover(FEWER).devices)) is not None
    assert shortage(need(60), rooms(discover(MIXED).devices)) is None


@given(
    st.integers(1, 80 * GIB),
    st.lists(st.integers(0, 48 * GIB), min_size=1, max_size=4),
    st.lists(st.floats(0.1, 9), max_size=4),
    st.integers(1, 3),
)
def test_what_fits_fits_on_each_device(total, frees, shares, engines):
    devices = discover(
        FakeNvml(
            [
                fake_device(n, total_bytes=48 * GIB, used_bytes=48 * GIB - free)
                for n, free in enumerate(frees)
            ]
        )
    ).devices
    told = shortage(MemoryNeed(total, ""), rooms(devices), engines=engines, shares=shares)
    usable = sum(max(0, free - engines * DEVICE_OVERHEAD_BYTES) for free in frees)
    if told is None:
        assert engines * total <= usable + len(frees)
    elif not shares:
        assert engines * total > usable * 0.999


def test_what_was_measured_and_chosen_is_remembered_and_a_broken_file_is_nothing(
    model, tmp_path, planned
):
    seen = MeasuredMemory(tmp_path)
    assert seen.of(planned) is None
    seen.record(planned, 123)
    assert MeasuredMemory(tmp_path).of(planned) == 123
    choices = ModelChoices(tmp_path)
    choices.choose("demo", "a", "b")
    assert choices.of("demo", "a") == "b"
    assert choices.of("demo", "c") == "c", "the operator chose anew"
    choices.choose("demo", "a", "a")
    assert json.loads((tmp_path / "state" / "models.json").read_text()) == {}
    for file in (tmp_path / "state").iterdir():
        file.write_text("{")
    assert MeasuredMemory(tmp_path).of(planned) is None
    assert ModelChoices(tmp_path).of("demo", "a") == "a"
