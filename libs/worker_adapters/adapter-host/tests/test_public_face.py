"""The public names, and a README whose table is the code's."""

from pathlib import Path

import adapter_host
from adapter_host.breaker import TRANSITIONS


def test_every_public_name_is_there() -> None:
    assert all(hasattr(adapter_host, name) for name in adapter_host.__all__)


def test_the_table_in_the_readme_is_the_table_in_the_code() -> None:
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    rows = "\n".join(f"| {old} | {new} | {when} |" for (old, new), when in TRANSITIONS.items())
    assert f"| from | to | when |\n|---|---|---|\n{rows}\n\n" in readme
