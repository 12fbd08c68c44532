"""The metrics of the contract as data: names, kinds, labels, help and buckets."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]

CONTROL_MS = (
    *(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500),
    *(1_000, 2_500, 5_000, 10_000),
)
FIRST_TOKEN_MS = (50, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000)
DECODE_MS = (250, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000, 12_000)
LIFECYCLE_MS = (100, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000)
CANDIDATES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024)


class Program(StrEnum):
    """Whose metrics; HOME serves both."""

    ORCHESTRATORD = "orchestratord"
    POOL_MANAGERD = "pool-managerd"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric of the contract; `buckets` in the unit of its name, for histograms only."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counter(name: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, "gauge", text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> MetricSpec:
    return MetricSpec(name, "histogram", text, labels, buckets)


ORCHESTRATORD: tuple[MetricSpec, ...] = (
    _gauge(
        "orchd_admission_queue_depth",
        "Tasks that wait; pool_id is `any` for an unpinned queue.",
        *("pool_id", "model_id", "priority"),
    ),
    _counter(
        "orchd_admission_enqueued_total",
        "Tasks offered to a queue, by what became of them.",
        *("pool_id", "outcome"),
    ),
    _counter("orchd_admission_rejected_total", "Tasks refused.", "pool_id", "reason"),
    _histogram("orchd_admission_latency_ms", "From request to queue.", CONTROL_MS),
    _counter("orchd_placement_decisions_total", "Placement decisions.", "outcome", "pinned"),
    _histogram("orchd_placement_latency_ms", "Time of one placement decision.", CONTROL_MS),
    _histogram("orchd_placement_candidates", "Feasible replicas of one decision.", CANDIDATES),
    _counter("orchd_pool_health_checks_total", "Health checks of pools.", "pool_id", "outcome"),
    _histogram(
        "orchd_pool_health_check_duration_ms", "Time of one health check.", CONTROL_MS, "pool_id"
    ),
    _gauge("orchd_pools_available", "1 while the pool can take tasks, else 0.", "pool_id"),
    _gauge("orchd_nodes", "Nodes by status.", "status"),
    _counter("orchd_tasks_dispatched_total", "Tasks given to an engine.", "pool_id", "outcome"),
    _counter("orchd_tasks_finished_total", "Tasks that ended.", "pool_id", "outcome"),
    _histogram("orchd_dispatch_latency_ms", "From free slot to engine.", CONTROL_MS, "pool_id"),
    _histogram(
        "orchd_first_token_ms",
        "From admission to the first token.",
        FIRST_TOKEN_MS,
        *("pool_id", "priority"),
    ),
    _histogram(
        "orchd_decode_ms", "From the first to the last token.", DECODE_MS, "pool_id", "priority"
    ),
    _counter("orchd_tokens_in_total", "Prompt tokens processed.", "pool_id"),
    _counter("orchd_tokens_out_total", "Tokens generated.", "pool_id"),
    _counter("orchd_task_failovers_total", "Tasks moved to another replica.", "kind"),
    _histogram(
        "orchd_predicted_start_error_ms",
        "Distance between predicted and actual start, without sign.",
        CONTROL_MS,
    ),
    _gauge("orchd_sse_subscribers", "Open event streams."),
    _counter("orchd_http_requests_total", "HTTP requests.", "route", "method", "status"),
    _histogram(
        "orchd_http_request_duration_ms",
        "Time of an HTTP request, streams to their end.",
        CONTROL_MS,
        "route",
    ),
    _counter(
        "orchd_upstream_requests_total", "Calls to other services.", "peer", "route", "outcome"
    ),
    _gauge("orchd_breaker_state", "0 closed, 1 half open, 2 open.", "pool_id"),
    _gauge("orchd_node_report_age_ms", "Time since the node's last report.", "node_id"),
    _gauge("orchd_safe_mode", "1 while most nodes are lost at once, else 0."),
)

POOL_MANAGERD: tuple[MetricSpec, ...] = (
    _counter(
        "pool_handoff_files_processed_total",
        "Handoff files read, by what became of them.",
        *("pool_id", "outcome", "node_id"),
    ),
    _histogram(
        "pool_handoff_processing_duration_ms",
        "From handoff file to pool.",
        CONTROL_MS,
        *("pool_id", "node_id"),
    ),
    _gauge("pool_slots_total", "Slots of the pool.", "pool_id", "node_id"),
    _gauge("pool_slots_free", "Slots without a task.", "pool_id", "node_id"),
    _gauge("pool_vram_total_bytes", "Memory of the pool's GPUs.", "pool_id", "node_id"),
    _gauge("pool_vram_free_bytes", "Free memory of the pool's GPUs.", "pool_id", "node_id"),
    _gauge("pool_ready", "1 while the pool is ready, else 0.", "pool_id", "node_id"),
    _counter(
        "pool_health_checks_total", "Health checks of engines.", "pool_id", "outcome", "node_id"
    ),
    _counter("pool_engine_restarts_total", "Engines restarted.", "pool_id", "cause", "node_id"),
    _histogram(
        "pool_drain_duration_ms",
        "From drain to empty, or to its deadline.",
        LIFECYCLE_MS,
        *("pool_id", "outcome", "node_id"),
    ),
    _histogram(
        "pool_reload_duration_ms",
        "From reload to serving.",
        LIFECYCLE_MS,
        *("pool_id", "outcome", "node_id"),
    ),
    _counter("pool_relay_bytes_total", "Bytes passed to and from engines.", "pool_id", "node_id"),
    _gauge("gpu_utilization_percent", "How busy the device is.", "device", "node_id"),
    _gauge("gpu_vram_used_bytes", "Used memory of the device.", "device", "node_id"),
    _counter("gpu_errors_total", "Errors of the device.", "device", "kind", "node_id"),
    _counter("model_cache_hits_total", "Models found in host memory.", "node_id"),
    _counter("model_cache_misses_total", "Models not found in host memory.", "node_id"),
    _gauge("model_cache_size_bytes", "Host memory that staged models take.", "node_id"),
    _counter("model_gc_freed_bytes_total", "Disk freed by garbage collection.", "node_id"),
    _counter("model_fetch_bytes_total", "Bytes of models fetched.", "node_id"),
    _counter("pool_http_requests_total", "HTTP requests.", "route", "method", "status", "node_id"),
    _histogram(
        "pool_http_request_duration_ms",
        "Time of an HTTP request, streams to their end.",
        CONTROL_MS,
        *("route", "node_id"),
    ),
)

CONTRACT: dict[Program, tuple[MetricSpec, ...]] = {
    Program.ORCHESTRATORD: ORCHESTRATORD,
    Program.POOL_MANAGERD: POOL_MANAGERD,
}
