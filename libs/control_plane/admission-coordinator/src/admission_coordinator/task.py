"""One task, from its admission to the end of its retention."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from admission_coordinator.log import EventLog
from admission_coordinator.machine import Move, step
from admission_coordinator.sessions import Turn
from api_types import (
    TERMINAL_STATES,
    ApiError,
    CandidateView,
    EstimateView,
    KvHint,
    PlacementView,
    TaskError,
    TaskRequest,
    TaskState,
    TaskStatus,
    TaskTimings,
)
from multi_node_placement import Work
from orchestrator_core import (
    Candidate,
    Constraint,
    Estimate,
    Preferences,
    QueuedTask,
    ReplicaKey,
)


class Running(Protocol):
    """An attempt that runs."""

    def cancel(self) -> None:
        """End it soon."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """The record of a task. The coordinator alone writes it; others may read."""

    task_id: str
    number: int
    identity: str
    correlation_id: str
    traceparent: str | None
    request: TaskRequest
    model_id: str
    log: EventLog
    constraint: Constraint
    preferences: Preferences
    size_bytes: int
    created_ms: int
    deadline_at_ms: int | None = None
    turn: Turn | None = None
    session_key: str | None = None
    """Its `affinity_key` where it is a turn of a session."""
    kv_bytes_per_token: int = 0

    state: TaskState = TaskState.QUEUED
    queued: QueuedTask | None = None
    attempts: int = 0
    """Attempts that the client has seen begin."""
    lost: int = 0
    """Attempts that were lost before their first token."""
    candidates: Sequence[Candidate] = ()
    """The replicas that the last placement looked at, the chosen one first."""
    pool_id: str | None = None
    """As clients know it: in a cluster with the name of its node."""
    node_id: str | None = None
    replica_id: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    running: Running | None = None
    stop_error: ApiError | None = None
    """Why a running attempt is being stopped; its terminal frame says so."""
    evicted: bool = False
    """Its pool must be emptied: the attempt is being stopped, the task perhaps not."""
    crash: Exception | None = None
    """The bug of ours that ended the task, for the log."""
    tried: set[ReplicaKey] = field(default_factory=set)

    pieces: list[str] = field(default_factory=list)
    token_index: int = 0
    carried_text: str = ""
    """What earlier attempts of a `resume` task have given."""
    carried_tokens: int = 0
    """How many tokens that is, as the engine of the next attempt counts."""
    result: dict[str, object] | None = None
    dispatched_ms: int | None = None
    first_token_at_ms: int | None = None
    ended_ms: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    seed: int | None = None
    finish_reason: str | None = None
    error: TaskError | None = None
    work: Work | None = None
    """What a scorer of placement must know of it; None where there is none."""
    placement_ms: float = 0.0
    """What it took to take it from the queue and to decide where it runs."""
    handover_ms: float | None = None
    """From that decision to the request being handed to the adapter."""
    predicted_start_ms: int = 0
    """What the client was told at admission."""
    told_position: int = 0
    told_at_ms: int = 0

    def move(self, move: Move) -> None:
        """Change the state as the table allows; raises `IllegalMove`."""
        self.state = step(self.task_id, self.state, move)

    @property
    def attempt_number(self) -> int:
        """Which attempt runs or comes next, as engines and leases know it.

        The first may begin a moment before its client is told that the task has started.
        """
        return (self.attempts or 1) + self.lost

    @property
    def ended(self) -> bool:
        """Whether the task has had its terminal frame."""
        return self.state in TERMINAL_STATES

    @property
    def uses_cache(self) -> bool:
        """Whether its engine may take a part of the prompt from its cache."""
        return self.request.kv_hint is KvHint.REUSE and not (self.turn and self.turn.cold)

    @property
    def affinity_key(self) -> str:
        """The name under which the cluster remembers the session of this task's identity."""
        return f"{self.identity}/{self.request.session_id}"

    @property
    def queue_time_ms(self) -> int | None:
        """From admission to the last binding."""
        return None if self.dispatched_ms is None else self.dispatched_ms - self.created_ms

    @property
    def first_token_ms(self) -> int | None:
        """From admission to the first token."""
        at_ms = self.first_token_at_ms
        return None if at_ms is None else at_ms - self.created_ms

    @property
    def decode_time_ms(self) -> int | None:
        """From the first token to the end."""
        if self.first_token_at_ms is None or self.ended_ms is None:
            return None
        return self.ended_ms - self.first_token_at_ms

    def retained_bytes(self) -> int:
        """Roughly what keeping this task costs."""
        return 2_048 + self.size_bytes + self.log.size_bytes + sum(map(len, self.pieces))

    def placement(self) -> PlacementView:
        """Explain the last placement; made only when somebody asks."""
        if not self.candidates:
            return PlacementView()
        chosen = self.candidates[0].key
        return PlacementView.model_construct(
            node_id=chosen.node_id,
            pool_id=chosen.pool_id,
            replica_id=chosen.replica_id,
            candidates=tuple(
                CandidateView.model_construct(
                    node_id=candidate.key.node_id,
                    pool_id=candidate.key.pool_id,
                    replica_id=candidate.key.replica_id,
                    refused=None if candidate.refused is None else candidate.refused.value,
                    estimate=_estimate(candidate.estimate),
                )
                for candidate in self.candidates
            ),
        )

    def status(
        self,
        *,
        queue_position: int | None = None,
        predicted_start_ms: int | None = None,
        preparing: bool = False,
    ) -> TaskStatus:
        """Return what `GET /v2/tasks/{id}` shows."""
        return TaskStatus.model_construct(
            task_id=UUID(self.task_id),
            state=TaskState.PREPARING if preparing else self.state,
            priority=self.request.priority,
            workload=self.request.workload,
            model_ref=self.request.model_ref,
            model_id=self.model_id,
            session_id=self.request.session_id,
            labels=self.request.labels,
            attempts=self.attempts,
            queue_position=queue_position,
            predicted_start_ms=predicted_start_ms,
            text="".join(self.pieces) if self.pieces else None,
            result=self.result,
            finish_reason=self.finish_reason,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            seed=self.seed,
            error=self.error,
            timings=TaskTimings(
                created_ms=self.created_ms,
                started_ms=self.dispatched_ms,
                first_token_at_ms=self.first_token_at_ms,
                ended_ms=self.ended_ms,
                queue_time_ms=self.queue_time_ms,
                first_token_ms=self.first_token_ms,
                decode_time_ms=self.decode_time_ms,
            ),
            placement=self.placement(),
            correlation_id=self.correlation_id,
        )


def _estimate(found: Estimate | None) -> EstimateView | None:
    if found is None:
        return None
    return EstimateView.model_construct(
        total_ms=round(1000 * found.total_s, 1),
        prefill_ms=round(1000 * found.prefill_s, 1),
        drain_ms=round(1000 * found.drain_s, 1),
        decode_ms=round(1000 * found.decode_s, 1),
    )
