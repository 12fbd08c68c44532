from pathlib import Path

import pytest

from demo_model import DEMO, ENDLESS, SLOW, Recital, build, ensure


def test_the_same_recital_makes_the_same_bytes(tmp_path: Path) -> None:
    assert build(tmp_path / "a").read_bytes() == build(tmp_path / "b").read_bytes()


def test_a_file_that_is_there_is_used_again(tmp_path: Path) -> None:
    first = ensure(tmp_path)
    before = first.stat().st_mtime_ns
    assert ensure(tmp_path) == first
    assert first.stat().st_mtime_ns == before


def test_each_recital_has_a_name_of_its_own(tmp_path: Path) -> None:
    changed = Recital("demo", "another text")
    names = {ensure(tmp_path, spec=spec).name for spec in (DEMO, ENDLESS, changed)}
    assert len(names) == 3


def test_nothing_half_written_is_left_when_building_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        build(tmp_path / "m.gguf", spec=Recital("t", "one two one~more two"))
    assert list(tmp_path.iterdir()) == []


def test_the_slow_file_stays_modest(tmp_path: Path) -> None:
    assert build(tmp_path / "slow.gguf", spec=SLOW).stat().st_size <= 80_000_000
