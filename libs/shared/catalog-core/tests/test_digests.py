import hashlib
from pathlib import Path

import pytest

from catalog_core import ModelReferenceError, file_digest, parse_digest


def test_a_digest_is_read_in_chunks_that_are_told(tmp_path: Path) -> None:
    data = b"x" * 9_000_000
    path = tmp_path / "f"
    path.write_bytes(data)
    seen: list[int] = []
    assert file_digest(path, on_chunk=seen.append) == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert seen[-1] == len(data)
    assert len(seen) >= 2


def test_a_digest_has_one_written_form() -> None:
    digits = "0aF" + "0" * 61
    assert parse_digest(digits) == parse_digest(f" sha256:{digits}") == f"sha256:{digits.lower()}"


@pytest.mark.parametrize("text", ["", "md5:00", "sha256:00", "g" * 64])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ModelReferenceError, match="64 hexadecimal"):
        parse_digest(text)
