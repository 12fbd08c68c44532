"""The metrics of the contract are written by somebody."""

from pathlib import Path

from telemetry_core import CONTRACT

ROOT = Path(__file__).parents[2]


def test_every_metric_of_the_contract_is_written_somewhere() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for tier in ("bin", "libs")
        for path in (ROOT / tier).rglob("src/**/*.py")
        if path.name != "contract.py"
    )
    names = {spec.name for specs in CONTRACT.values() for spec in specs}
    assert {name for name in names if f'"{name}"' not in sources} == set()
