"""The results as a page: tables, and plots where matplotlib is installed."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

_PAGE_HEAD = """# Benchmarks

Written by `uv run --group bench python -m benchmarks`; every figure is in `results.json`. CPU time
is the kernel's own count for the process alone, medians over rounds in which all subjects take
turns, and ratios are taken within each round. The load average of each run tells how busy the
machine was, the run itself included, and the nanoseconds of a step how fast this build of Python is
on it.
"""


def brief(name: str, result: Mapping[str, Any]) -> str:
    """A scenario in a few lines."""
    return "\n".join(_RENDERERS.get(name, _plain)(result))


def write(told: Mapping[str, Any], folder: Path) -> None:
    """Write the page and its plots."""
    parts = [_PAGE_HEAD]
    plotted = _plots(told, folder)
    for name, entry in told.items():
        run = entry["run"]
        peers = "".join(f", {peer} {version}" for peer, version in run["peers"].items())
        step = f" ({run['step_ns']} ns a step)" if "step_ns" in run else ""
        parts.append(f"## {name}\n")
        parts.append(
            f"{run['size']} run of {run['at']} on {run['cores']} cores (load {run['load']}), "
            f"Python {run['python']}{step}{peers}.\n"
        )
        parts.append(brief(name, entry["result"]) + "\n")
        if name in plotted:
            parts.append(f"![{name}]({name}.svg)\n")
    (folder / "README.md").write_text("\n".join(parts))


def _table(head: list[str], rows: Iterator[list[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def _compared(result: Mapping[str, Any]) -> Iterator[str]:
    subjects = result["subjects"]
    columns = list(dict.fromkeys(name for one in subjects.values() for name in one["ratios"]))
    yield from _table(
        ["", result["unit"], "lowest … highest", "first token p50 ms", *columns],
        (
            [
                name,
                one["cpu"],
                f"{one['spread'][0]} … {one['spread'][1]}",
                one["first_token_p50_ms"],
                *(one["ratios"].get(column, "") for column in columns),
            ]
            for name, one in subjects.items()
        ),
    )


def _relayed(result: Mapping[str, Any]) -> Iterator[str]:
    for name, compared in result.items():
        yield f"{name.capitalize()}:"
        yield ""
        yield from _compared(compared)
        yield ""


def _curves(result: Mapping[str, Any]) -> Iterator[str]:
    for name, curve in result.items():
        points = ", ".join(f"{int(size):,}: {cost} µs" for size, cost in curve.items())
        yield f"- {name}: {points}"


def _counted(result: Mapping[str, Any]) -> Iterator[str]:
    packages = dict.fromkeys(package for counts in result.values() for package in counts)
    together = ["together", *(round(sum(counts.values())) for counts in result.values())]
    yield from _table(
        ["calls of functions in", *result],
        chain(
            (
                [package, *(counts.get(package, "") for counts in result.values())]
                for package in packages
            ),
            [together],
        ),
    )


def _steady(result: Mapping[str, Any]) -> Iterator[str]:
    steady = dict(result["open loop"])
    loop = steady.pop("event_loop", None)
    stages = steady.pop("stages_ms", None)
    yield from _plain(steady)
    if stages is not None:
        yield ""
        yield from _table(
            ["stage", "p50 ms", "p99 ms", "tasks"],
            ([name, one["p50"], one["p99"], round(one["count"])] for name, one in stages.items()),
        )
        yield ""
    if loop is not None:
        yield from _stalled(loop)
    yield f"- closed loop: {_words(result['closed loop'])}"


def _stalled(loop: Mapping[str, Any]) -> Iterator[str]:
    yield f"Collections: {_words(loop['collections'])}; longest {loop['longest_collection_ms']} ms."
    yield ""
    yield from _table(
        ["stall ms", "on a core ms", "in the collector ms", "at s", "what ran"],
        (
            [one["ms"], one["on_core_ms"], one["collector_ms"], one["at_s"], f"`{one['stack']}`"]
            for one in [*loop["longest"], loop["longest_on_a_core"]]
            if one is not None
        ),
    )
    yield ""
    yield f"Stalls over 10 ms: {loop['over_10_ms']:,}, over 50 ms: {loop['over_50_ms']:,}; "
    yield "the last row is the one with the most time on a core."
    yield ""


def _plain(result: Mapping[str, Any]) -> Iterator[str]:
    for name, value in result.items():
        yield f"- {name.replace('_', ' ')}: {_words(value)}"


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key.replace('_', ' ')} {_words(one)}" for key, one in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


_RENDERERS: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "burst": _compared,
    "paced": _compared,
    "relay": _relayed,
    "micro": _curves,
    "calls": _counted,
    "rate": _steady,
}


def _plots(told: Mapping[str, Any], folder: Path) -> set[str]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed (uv run --group bench …): no plots")
        return set()
    drawn = set()
    for name in ("burst", "paced"):
        if name in told:
            result = told[name]["result"]
            figure = Figure(figsize=(8, 3.5), layout="constrained")
            axes = figure.subplots()
            shown = {key: one["cpu"] for key, one in result["subjects"].items() if key != "litellm"}
            axes.barh(list(shown), list(shown.values()), color="#4a7ab5")
            axes.invert_yaxis()
            axes.set_xlabel(result["unit"])
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            drawn.add(name)
    if "micro" in told:
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        for label, curve in told["micro"]["result"].items():
            axes.loglog(
                [int(size) for size in curve], list(curve.values()), marker="o", label=label
            )
        axes.set_xlabel("size")
        axes.set_ylabel("CPU µs")
        axes.legend(fontsize="small")
        figure.savefig(folder / "micro.svg", metadata={"Date": None})
        drawn.add("micro")
    return drawn
