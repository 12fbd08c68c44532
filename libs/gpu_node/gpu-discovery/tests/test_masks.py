import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_discovery import DeviceMaskError, discover, parse_mask, resolve_mask
from gpu_discovery.testing import FakeNvml, fake_device

GPUS = discover(FakeNvml([fake_device(number) for number in range(3)])).infos
UUID_1 = GPUS[1].uuid


@pytest.mark.parametrize(
    ("mask", "devices"),
    [("0,1", [0, 1]), ("2", [2]), (" 2 , 0 ", [2, 0]), (UUID_1, [1]), (f"{UUID_1},0", [1, 0])],
)
def test_a_mask_names_devices_in_its_order(mask: str, devices: list[int]) -> None:
    assert [gpu.device_id for gpu in resolve_mask(mask, GPUS)] == devices


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ("", "'' in the device mask '' is neither"),
        ("0,,1", "'' in the device mask"),
        ("0,x", "'x' in the device mask"),
        ("-1", "'-1'"),
        ("²", "'²'"),
        ("GPU-", "'GPU-'"),
        ("1,1", "'1' stands twice"),
        ("7", "'7' names no device of this machine; there are: 0 (GPU-"),
        ("GPU-0000", "'GPU-0000' names several devices"),
        ("GPU-ffff", "'GPU-ffff' names no device"),
        (f"1,{UUID_1}", "names device 1 a second time"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(mask: str, words: str) -> None:
    with pytest.raises(DeviceMaskError) as caught:
        resolve_mask(mask, GPUS)
    assert words in str(caught.value)


def test_on_a_machine_without_a_gpu_the_message_says_none() -> None:
    with pytest.raises(DeviceMaskError, match="there are: none"):
        resolve_mask("0", ())


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        entries = parse_mask(text)
    except DeviceMaskError:
        return
    assert ",".join(entries).replace(" ", "") == "".join(text.split())
