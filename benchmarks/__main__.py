"""Run the benchmarks: `python -m benchmarks [--quick|--full] [--peers NAMES] [SCENARIO…]`."""

import argparse
import datetime
import json
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import peers, report
from benchmarks.calls import calls
from benchmarks.footprint import idle_streams, overload, queued, slow_readers, start
from benchmarks.interpreter import step_ns
from benchmarks.micro import micro
from benchmarks.nodes import heartbeats
from benchmarks.processes import processes
from benchmarks.rate import rate
from benchmarks.real_engine import real_engine
from benchmarks.relay import relay
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.staging import staging
from benchmarks.traffic import burst, paced

SCENARIOS: dict[str, Callable[[Scale], dict[str, Any]]] = {
    "micro": micro,
    "calls": calls,
    "start": start,
    "burst": burst,
    "paced": paced,
    "relay": relay,
    "rate": rate,
    "heartbeats": heartbeats,
    "overload": overload,
    "slow-readers": slow_readers,
    "idle-streams": idle_streams,
    "queued": queued,
    "processes": processes,
    "real-engine": real_engine,
    "staging": staging,
}
_PACKAGES = ("aiohttp", "httptools", "msgspec", "structlog", "uvloop", "xllamacpp")


def main() -> None:
    """Run what was asked for; results go to the output folder and the report beside them."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="minutes; the default")
    size.add_argument("--full", action="store_true", help="about an hour")
    parser.add_argument("--peers", default="", help=f"of {', '.join(peers.PEERS)}, or all")
    parser.add_argument("--seconds", type=float, help="how long the scenario rate goes on")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.scenarios if name not in SCENARIOS]:
        parser.error(f"no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    names = (
        tuple(peers.PEERS)
        if chosen.peers == "all"
        else tuple(filter(None, chosen.peers.split(",")))
    )
    if missing := [name for name in names if name not in peers.PEERS]:
        parser.error(f"no peer {missing[0]!r}; there are {', '.join(peers.PEERS)}")
    scale = replace(FULL if chosen.full else QUICK, peers=names)
    if chosen.seconds is not None:
        scale = replace(scale, rate_s=chosen.seconds)
    chosen.out.mkdir(parents=True, exist_ok=True)
    results = chosen.out / "results.json"
    told = json.loads(results.read_text()) if results.exists() else {}
    for name in chosen.scenarios or SCENARIOS:
        print(f"{name} …", flush=True)
        result = SCENARIOS[name](scale)
        told[name] = {"run": _conditions(chosen.full, names), "result": result}
        results.write_text(json.dumps(told, indent=1) + "\n")
        print(report.brief(name, told[name]["result"]), flush=True)
    report.write(told, chosen.out)


def _conditions(full: bool, names: tuple[str, ...]) -> dict[str, Any]:
    """What a figure means nothing without."""
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "size": "full" if full else "quick",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "step_ns": step_ns(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "peers": {name: peers.version(name) for name in names if peers.version(name)},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
