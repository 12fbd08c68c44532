"""The members of the workspace, read once: a test that takes `member` runs for each of them."""

import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Member:
    """A package of the workspace."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def import_name(self) -> str:
        return self.name.replace("-", "_")

    @property
    def tier(self) -> str:
        """`shared`, `control_plane`, …; `bin` for the programs."""
        return self.folder.parent.name

    @property
    def package(self) -> Path:
        return self.folder / "src" / self.import_name

    @cached_property
    def project(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))

    @cached_property
    def modules(self) -> tuple[Path, ...]:
        return tuple(sorted(self.package.rglob("*.py")))

    def is_testing(self, module: Path) -> bool:
        return "testing" in module.relative_to(self.package).with_suffix("").parts


@cache
def all_members() -> tuple[Member, ...]:
    found = [*ROOT.glob("libs/*/*/pyproject.toml"), *ROOT.glob("bin/*/pyproject.toml")]
    return tuple(Member(path.parent) for path in sorted(found))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "member" in metafunc.fixturenames:
        metafunc.parametrize("member", all_members(), ids=lambda member: member.name)


@pytest.fixture
def members() -> tuple[Member, ...]:
    return all_members()


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def workspace() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
