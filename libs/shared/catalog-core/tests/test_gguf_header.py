import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_core import GgufHeader, ModelFileError, parse_gguf_header, read_gguf_header
from catalog_core.testing import METADATA, gguf_bytes

WHOLE = gguf_bytes()


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in METADATA.items() if name != key}


def test_a_file_tells_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(WHOLE)
    assert read_gguf_header(path) == GgufHeader(
        version=3,
        architecture="llama",
        name="tiny",
        quantization="F16",
        size_bytes=len(WHOLE),
        tensor_count=1,
        tensor_bytes=768,
        parameter_count=192,
        context_length=4096,
        embedding_length=64,
        block_count=2,
        head_count=4,
        head_count_kv=2,
        vocab_size=3,
        has_chat_template=True,
    )


def test_what_a_file_does_not_say_is_none() -> None:
    header = parse_gguf_header(gguf_bytes({"general.architecture": "x"}, {}))
    assert (header.context_length, header.vocab_size, header.name) == (None, None, None)
    assert (header.has_chat_template, header.quantization) == (False, "unknown")


def test_without_a_file_type_the_tensors_tell_the_quantisation() -> None:
    assert parse_gguf_header(gguf_bytes(without("general.file_type"))).quantization == "F32"


def refusal(data: bytes) -> str:
    with pytest.raises(ModelFileError) as caught:
        parse_gguf_header(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "magic number needs 4 bytes, but only 0 are left"),
        (b"PK\3\4" + WHOLE[4:], "not with b'GGUF'"),
        (gguf_bytes(version=1), "version 1 is not one of 2, 3"),
        (gguf_bytes(version=0x03000000), "big-endian"),
        (WHOLE[:-1], "1 bytes are missing"),
        (WHOLE[:200], "truncated"),
        (WHOLE[:8] + b"\xff" * 8 + WHOLE[16:], "claims 18446744073709551615 tensors"),
        (WHOLE[:16] + b"\xff" * 8 + WHOLE[24:], "claims 18446744073709551615 metadata keys"),
        (WHOLE[:24] + b"\xff" * 8 + WHOLE[32:], "metadata key 1 of 10 claims"),
        (gguf_bytes(without("general.architecture")), "architecture is missing"),
        (gguf_bytes({**METADATA, "general.alignment": 3}), "power of two"),
        (gguf_bytes({**METADATA, "split.count": 3}), "one of 3 parts"),
        (gguf_bytes(tensors={"t": (1, 1, 1, 1, 1)}), "5 dimensions"),
        (gguf_bytes(tensors={"t": (7,)}, tensor_type=2), "rows of 7, which Q4_0 cannot hold"),
    ],
)
def test_a_broken_file_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_an_absurd_array_is_neither_allocated_nor_walked() -> None:
    for element_type in (8, 4):
        array = struct.pack("<Q1sIIQ", 1, b"k", 9, element_type, 2**62)
        data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array + bytes(1000)
        tracemalloc.start()
        assert "'k'" in refusal(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 100_000


def test_a_key_that_occurs_twice_is_refused() -> None:
    pair = gguf_bytes({"aa": 1, "ab": 2, **METADATA})
    assert "occurs twice" in refusal(pair.replace(b"ab", b"aa", 1))


def test_a_tensor_type_of_the_future_is_left_to_the_engine() -> None:
    assert parse_gguf_header(gguf_bytes(tensor_type=999)).tensor_count == 1


@pytest.mark.timeout(5)
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(ModelFileError, match="no regular file"):
            read_gguf_header(path)


def test_a_missing_file_may_come_later(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file") as caught:
        read_gguf_header(tmp_path / "none.gguf")
    assert caught.value.retriable


@given(st.binary(max_size=200))
def test_random_bytes_are_only_ever_a_model_file_error(data: bytes) -> None:
    refusal(b"GGUF\3\0\0\0" + data)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    refusal(WHOLE[:length])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))))
def test_a_file_altered_anywhere_is_read_or_refused(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(WHOLE)
    for offset, new in changes:
        data[offset : offset + len(new)] = new
    try:
        header = parse_gguf_header(bytes(data))
    except ModelFileError:
        return
    assert GgufHeader.model_validate_json(header.model_dump_json()) == header
