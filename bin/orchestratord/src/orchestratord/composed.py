"""What every profile is put together to, and how the coordinator is set up in each."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from admission_coordinator import (
    AdmissionCoordinator,
    CoordinatorSettings,
    SessionLimits,
    TaskObserver,
)
from api_types import Readiness
from artifact_store import ArtifactStore
from multi_node_placement import ClusterView, PrefixScorer
from orchestrator_core import FullPolicy
from orchestratord.access import Access
from orchestratord.config import Settings
from orchestratord.http.services import Machine, Services
from orchestratord.observing import FanOut, TaskMetrics, TaskNarrator, Transcripts
from telemetry_core import Metrics


class StoppableMachine(Machine, Protocol):
    """A machine that can be told to say that it stops."""

    def begin_shutdown(self) -> None:
        """Be not ready from now on."""
        ...

    def readiness(self) -> Readiness:
        """Tell whether tasks can be taken."""
        ...


@dataclass(frozen=True, slots=True)
class Composed:
    """Everything but the HTTP server, running."""

    services: Services
    coordinator: AdmissionCoordinator
    machine: StoppableMachine


@dataclass(frozen=True, slots=True)
class Layout:
    """How a profile is got ready, and how it is run."""

    prepare: Callable[[Settings], Awaitable[Settings]]
    """Makes on disk what has to be there, and completes the settings."""
    running: Callable[[Settings, Access], AbstractAsyncContextManager[Composed]]


def cluster_view(settings: Settings) -> ClusterView:
    """Return the view that placement decides by."""
    return ClusterView(scorer=PrefixScorer() if settings.placement_scorer == "prefix" else None)


def coordinator_settings(settings: Settings) -> CoordinatorSettings:
    """Return the part of the settings that is the coordinator's."""
    return CoordinatorSettings(
        capacity=settings.admission_capacity,
        full_policy=FullPolicy(settings.admission_policy),
        max_queue_bytes=settings.admission_max_bytes,
        queue_max_wait_ms=settings.queue_max_wait_ms,
        batch_max_wait_ms=settings.batch_max_wait_ms,
        first_token_timeout_ms=settings.first_token_timeout_ms,
        decode_idle_timeout_ms=settings.decode_idle_timeout_ms,
        decode_wall_timeout_ms=settings.decode_wall_timeout_ms,
        task_retention_ms=settings.task_retention_ms,
        event_log_max_bytes=settings.event_log_max_bytes,
        retry_budget=settings.retry_budget,
        allow_pinning=settings.pinning == "allow",
        pool_name=str if settings.remote_nodes else attrgetter("pool_id"),
        sessions=SessionLimits(
            ttl_ms=settings.session_ttl_ms,
            max_turns=settings.session_max_turns,
            token_budget=settings.session_token_budget,
            time_budget_ms=settings.session_time_budget_ms,
            cost_budget=settings.session_cost_budget,
        ),
        price_per_1k_tokens={
            settings.model_aliases.get(name, name): price
            for name, price in settings.price_per_1k_tokens.items()
        },
    )


@asynccontextmanager
async def observing_tasks(
    settings: Settings, metrics: Metrics, artifacts: ArtifactStore, now_ms: Callable[[], int]
) -> AsyncIterator[TaskObserver]:
    """Put together who counts, tells and keeps what becomes of tasks."""
    always = (TaskMetrics(metrics), TaskNarrator())
    if not settings.transcripts:
        yield FanOut(*always)
        return
    async with Transcripts.running(
        artifacts, with_prompts=settings.transcript_prompts, now_ms=now_ms
    ) as transcripts:
        yield FanOut(*always, transcripts)
