"""What the coordinator needs from others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from adapter_api import WorkerAdapter
from admission_coordinator.task import Task
from api_types import ApiError, PreparationStep
from multi_node_placement import Reservation
from orchestrator_core import PoolRef

NowMs = Callable[[], int]
"""Unix time in milliseconds, never running backwards within a process."""


class Loan(Protocol):
    """The adapter of a replica, lent for one attempt."""

    @property
    def adapter(self) -> WorkerAdapter:
        """What was lent."""
        ...

    def end(self, error: BaseException | None) -> None:
        """Give it back, once, with what the attempt has raised: its breaker is told of it."""
        ...


class Replicas(Protocol):
    """The way to the engines, with a breaker and a lease on the way."""

    def lend(self, reservation: Reservation, *, lease: str, on_revoked: Callable[[], None]) -> Loan:
        """Lend the adapter of a reserved replica for one attempt, under a lease of this name.

        Raises `adapter_api.EngineUnreachable` when the replica has just gone, and
        `EngineOverloaded` when its node has no slot to give. `on_revoked` is called when the node
        wants the slot back, because a drain has run into its deadline.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """The model that a task asked for."""

    model_id: str
    ctx_max: int | None = None
    """Tokens of context that one task may use; None while no engine has told."""
    kv_bytes_per_token: int = 0


class ModelDirectory(Protocol):
    """Which models there are."""

    def resolve(self, model_ref: str | None) -> ModelChoice:
        """Find a model by id, reference or alias.

        None means the only one that is served. Raises `ApiError`: `MODEL_NOT_FOUND` with near
        names, `MODEL_NOT_AVAILABLE`, or `INVALID_PARAMS` when None is ambiguous.
        """
        ...

    def fetching(self, model_id: str) -> PreparationStep | None:
        """Return how far the fetch is that a model waits for; None where it waits for none."""
        ...


@dataclass(frozen=True, slots=True)
class ModelWaits:
    """The tasks that wait for one model."""

    waiting: int
    oldest_ms: int
    """How long the oldest of them has waited."""


class DemandSink(Protocol):
    """Who tells the pools that change models what is asked for. Must not raise, must not block."""

    def tell_demand(self, pool: PoolRef, demand: Mapping[str, ModelWaits]) -> None:
        """Replace what was told of a pool: the tasks that wait, by model, its own included."""
        ...


class TaskObserver(Protocol):
    """Sees what becomes of tasks; for metrics and logs. Must not raise, must not block."""

    def admitted(self, task: Task) -> None:
        """A task was given a place in the queue."""
        ...

    def refused(self, error: ApiError, *, model_id: str | None, identity: str) -> None:
        """A request was refused at admission."""
        ...

    def dispatched(self, task: Task) -> None:
        """A task was bound to a replica."""
        ...

    def first_token(self, task: Task) -> None:
        """The first token of an attempt arrived."""
        ...

    def put_back(self, task: Task, cause: str) -> None:
        """An attempt was lost and the task waits again; `cause` is an error code."""
        ...

    def ended(self, task: Task) -> None:
        """A task has had its one terminal frame."""
        ...
