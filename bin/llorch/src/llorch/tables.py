"""Turns answers of the server into text for people. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from api_types import (
    CacheView,
    End,
    GcPlanView,
    GcRunView,
    Metrics,
    ModelList,
    PoolList,
    PreparationStep,
    StagedView,
    Started,
    TaskStatus,
)
from llorch.terminal import harmless

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_BAR = 30
"""Characters of a bar that is full."""


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return aligned columns; what is None shows as a dash."""
    cells = [list(headings)]
    cells += [["-" if cell is None else _one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _by_node(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose second column is a node, which is left out where it is always one."""
    rows = list(rows)
    if len({row[1] for row in rows}) > 1:
        return table(headings, rows)
    return table([headings[0], *headings[2:]], ([row[0], *row[2:]] for row in rows))


def _one_line(cell: object) -> str:
    return harmless(" ".join(str(cell).split()))


def size(amount_bytes: int | None) -> str | None:
    """Return a number of bytes as a person would say it."""
    if amount_bytes is None:
        return None
    amount, unit = float(amount_bytes), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def span(duration_ms: int) -> str:
    """Return a duration as a person would say it."""
    if duration_ms < 1_000:
        return f"{duration_ms} ms"
    if duration_ms < 60_000:
        return f"{duration_ms / 1_000:.1f} s"
    return f"{duration_ms // 60_000} min {duration_ms % 60_000 // 1_000} s"


def clock_time(unix_ms: int) -> str:
    """Return a Unix time as the local time of day."""
    return datetime.fromtimestamp(unix_ms / 1_000, tz=UTC).astimezone().strftime("%H:%M:%S")


def pools(found: PoolList) -> str:
    """Return the table of pools."""
    return table(
        ("POOL", "STATE", "MODEL", "ENGINE", "BUSY", "VRAM", "LAST ERROR"),
        (
            (
                pool.pool_id,
                "draining" if pool.draining else pool.state,
                pool.model_id,
                " ".join(filter(None, (pool.engine, pool.engine_version))),
                f"{pool.slots_total - pool.slots_free}/{pool.slots_total}",
                _used(pool.vram_total_bytes, pool.vram_free_bytes),
                pool.last_error,
            )
            for pool in found.pools
        ),
    )


def _used(total_bytes: int, free_bytes: int) -> str | None:
    return f"{size(total_bytes - free_bytes)} of {size(total_bytes)}" if total_bytes else None


def models(found: ModelList) -> str:
    """Return the table of models, and what is on its way."""
    rows: list[tuple[object, ...]] = [
        (
            model.model_id,
            model.node_id,
            f"{model.state}, pinned" if model.pinned else model.state,
            size(model.size_bytes),
            model.ctx_max,
            model.quantization,
            ", ".join(model.served_by) or None,
        )
        for model in found.models
    ]
    for pull in found.pulls:
        told = preparation(pull.step) if pull.step else "fetching"
        state = f"{pull.error.code}: {pull.error.message}" if pull.error else told
        rows.append((pull.reference, pull.node_id, state, *(None,) * 4))
    heads = ("MODEL", "NODE", "STATE", "SIZE", "CONTEXT", "QUANTIZATION", "SERVED BY")
    return "\n".join([_by_node(heads, rows), *_silent(found)])


def preparation(step: PreparationStep) -> str:
    """Return how far a step is: a bar where its end is known, its rate and the time left."""
    parts = [step.description]
    done, total = step.bytes_done, step.bytes_total
    if done is not None and total:
        filled = min(_BAR, _BAR * done // total)
        bar = "#" * filled + "-" * (_BAR - filled)
        parts = [f"{step.description} [{bar}] {100 * done // total} %", f"of {size(total)}"]
    elif done is not None:
        parts.append(f"{size(done)}")
    if step.status != "running":
        return " · ".join([*parts, step.status])
    if step.bytes_per_s:
        parts.append(f"{size(step.bytes_per_s)}/s")
    if step.estimated_ms:
        parts.append(f"{span(step.estimated_ms)} left")
    return " · ".join(parts)


def model_cache(cache: CacheView) -> str:
    """Return what is staged in RAM, and how often that helped."""
    rows = (
        (
            each.model_id,
            each.node_id,
            each.state,
            size(each.size_bytes),
            each.method,
            "yes" if each.pinned else None,
            each.error or each.why_not_locked,
        )
        for each in cache.models
    )
    told = (
        f"{size(cache.used_bytes)} of {size(cache.budget_bytes)} are used; "
        f"{cache.hits} loads found their model here, {cache.misses} did not"
    )
    heads = ("MODEL", "NODE", "STATE", "SIZE", "HOW", "PINNED", "NOTE")
    return "\n".join([*([_by_node(heads, rows)] if cache.models else []), told, *_silent(cache)])


def staging(model: StagedView) -> str:
    """Return how far the staging of a model is."""
    if model.state == "staging":
        return f"{model.model_id}: {size(model.done_bytes)} of {size(model.size_bytes)} in RAM …"
    if model.state == "served":
        return f"{model.model_id} is served; it is staged as soon as no pool serves it"
    why = f": {model.error}" if model.error else ""
    how = f" ({model.method})" if model.method else ""
    return f"{model.model_id} is {model.state}{how}{why}"


def _silent(told: CacheView | GcPlanView | GcRunView | ModelList) -> list[str]:
    """Return a line for each node whose part is missing."""
    return [f"node {each.node_id}: {each.code}: {each.message}" for each in told.unanswered]


def gc_plan(plan: GcPlanView) -> str:
    """Return what a collection would do with each model, and what that gives."""
    rows = (
        (each.model_id, each.node_id, each.action, size(each.size_bytes), each.explanation)
        for each in plan.decisions
    )
    disk = (
        f"{size(plan.disk_free_bytes)} of {size(plan.disk_total_bytes)} are free, "
        f"{size(plan.wanted_free_bytes)} should be; this would free {size(plan.freed_bytes)}"
    )
    lines = [_by_node(("MODEL", "NODE", "ACTION", "SIZE", "WHY"), rows), disk]
    if plan.shortfall_bytes:
        lines.append(f"{size(plan.shortfall_bytes)} would still be missing")
    return "\n".join([*lines, *_silent(plan)])


def gc_run(ran: GcRunView) -> str:
    """Return what a collection did."""
    if not ran.steps:
        return "\n".join(["there was nothing to delete", *_silent(ran)])
    rows = ((each.model_id, each.node_id, each.outcome, each.explanation) for each in ran.steps)
    told = _by_node(("MODEL", "NODE", "OUTCOME", "WHY"), rows)
    return "\n".join([told, f"{size(ran.freed_bytes)} were freed", *_silent(ran)])


def tasks(statuses: Iterable[TaskStatus]) -> str:
    """Return the table of tasks."""
    return table(
        ("TASK", "STATE", "PRIORITY", "MODEL", "POSITION", "TOKENS", "POOL", "CREATED"),
        (
            (
                task.task_id,
                task.error.code if task.error else task.state,
                task.priority,
                task.model_id or task.model_ref,
                task.queue_position,
                task.tokens_out,
                task.placement.pool_id,
                clock_time(task.timings.created_ms),
            )
            for task in statuses
        ),
    )


def progress(news: Started | Metrics) -> str | None:
    """Return the status line of a task that has no token yet; None: nothing to tell."""
    for step, state in (news.prep or {}).items() if isinstance(news, Metrics) else ():
        if state.status == "running":
            done = f" · {state.pct:.0f} %" if state.pct is not None else ""
            return (state.human or f"preparing: {state.phase or step}") + done
    if news.queue_position is None:
        return None
    if news.queue_position == 0:
        return f"running on {news.pool_id} …" if news.pool_id else "running …"
    wait = f" · starts in about {span(news.predicted_start_ms)}" if news.predicted_start_ms else ""
    return f"waiting · position {news.queue_position}{wait}"


def summary(end: End) -> str:
    """Return the speed of a task that ended well."""
    parts = [f"{end.tokens_out} tokens"]
    if end.decode_time_ms:
        parts.append(f"{end.tokens_out * 1_000 / end.decode_time_ms:.1f} tokens/s")
    parts.append(f"first token after {span(end.first_token_ms)}")
    if end.queue_time_ms >= 1_000:
        parts.append(f"waited {span(end.queue_time_ms)}")
    parts.append(end.pool_id)
    if end.finish_reason == "length":
        parts.append("stopped at the token limit")
    return " · ".join(parts)
