"""Several processes on one catalog at once."""

import subprocess
import sys
from pathlib import Path

from catalog_core import Catalog
from catalog_core.testing import model_entry

WRITER = """
import sys
from pathlib import Path
from catalog_core import Catalog
from catalog_core.testing import model_entry

catalog = Catalog(Path(sys.argv[1]))
name, rounds = sys.argv[2], int(sys.argv[3])
sys.stdin.readline()
for number in range(rounds):
    catalog.put(model_entry(f"{name}{number}"))
    catalog.touch("shared", 1 + int(catalog.get("shared").last_used_ms))
    if number % 3 == 0:
        catalog.retire(f"{name}{number}", now_ms=number)
    if number % 5 == 0:
        catalog.delete(f"{name}{number}")
"""
READER = """
import sys
from pathlib import Path
from catalog_core import Catalog

def damaged(path, reason):
    raise SystemExit(f"damaged: {reason}")

catalog = Catalog(Path(sys.argv[1]), on_damage=damaged)
sys.stdin.readline()
last_used_ms, reads = 0, 0
while not Path(sys.argv[1], "stop").exists():
    entries = {entry.id: entry for entry in catalog.list()}
    assert entries["shared"].last_used_ms >= last_used_ms
    last_used_ms = entries["shared"].last_used_ms
    reads += 1
assert reads
"""
ROUNDS = 30


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True)


def test_writers_lose_no_change_and_readers_see_only_whole_states(tmp_path: Path) -> None:
    Catalog(tmp_path).put(model_entry("shared"))
    writers = [start(WRITER, tmp_path, name, ROUNDS) for name in ("a", "b", "c")]
    readers = [start(READER, tmp_path) for _ in range(2)]
    try:
        for process in (*writers, *readers):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.close()
        assert [process.wait(timeout=60) for process in writers] == [0, 0, 0]
        (tmp_path / "stop").touch()
        assert [process.wait(timeout=60) for process in readers] == [0, 0]
    finally:
        for process in (*writers, *readers):
            process.kill()
            process.wait()
    kept = sorted(f"{name}{n}" for name in "abc" for n in range(ROUNDS) if n % 5)
    assert [entry.id for entry in Catalog(tmp_path).list()] == [*kept, "shared"]
