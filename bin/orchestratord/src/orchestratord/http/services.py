"""What the HTTP shell needs from the libraries behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from admission_coordinator import Dialect
from api_types import (
    Availability,
    Capabilities,
    GpuList,
    ModelView,
    NodeList,
    NodeStanding,
    NodeView,
    PoolView,
    PurgeRequest,
    Readiness,
    SessionView,
    TaskAccepted,
    TaskList,
    TaskRequest,
    TaskState,
    TaskStatus,
)
from artifact_store import ArtifactStore
from model_keeper import Disks
from service_discovery_types import (
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    PoolReadyCallback,
    PoolReadyResponse,
    RegisterRequest,
    RegisterResponse,
)


class Cursor(Protocol):
    """A reader's place in the event log of one task."""

    @property
    def ended(self) -> bool:
        """The terminal frame was handed out, or there is nothing more to come."""
        ...

    @property
    def fell_off(self) -> bool:
        """The log went past this reader: close its stream without a terminal frame."""
        ...

    async def read(self, *, timeout_s: float, max_bytes: int = 65536) -> bytes:
        """Return all encoded frames that are there now; nothing when the timeout passed."""
        ...

    def take(self, *, max_bytes: int = 65536) -> bytes:
        """Return what is there, without waiting."""
        ...

    def follow(self, news: Callable[[], None]) -> None:
        """Have `news` called whenever there may be something to take; it does not raise."""
        ...

    def close(self, *, by_server: bool = False) -> None:
        """End the subscription; `by_server`: its client did not leave."""
        ...


class Submission(Protocol):
    """The answer to an admitted task."""

    @property
    def task_id(self) -> str:
        """The task's id."""
        ...

    @property
    def model_id(self) -> str | None:
        """The model that serves it."""
        ...

    @property
    def engine(self) -> str | None:
        """The engine that it was bound to last, with its version; None while it waits."""
        ...

    @property
    def accepted(self) -> TaskAccepted:
        """The body of the 202."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What is left of the budgets, as headers."""
        ...


class Tasks(Protocol):
    """The owner of tasks and sessions; every call may raise ApiError."""

    def submit(
        self,
        request: TaskRequest,
        *,
        identity: str,
        correlation_id: str,
        size_bytes: int,
        traceparent: str | None = None,
    ) -> Submission:
        """Admit a task, or find the one that this call admitted before."""
        ...

    def status(self, task_id: str, *, identity: str) -> TaskStatus:
        """Tell where a task stands."""
        ...

    def list_tasks(
        self, *, identity: str, state: TaskState | None, limit: int, cursor: str | None
    ) -> TaskList:
        """List the newest tasks."""
        ...

    def cancel(self, task_id: str, *, identity: str) -> None:
        """Stop a task."""
        ...

    def open_stream(
        self,
        task_id: str,
        *,
        identity: str,
        last_event_id: int | None,
        verbose: bool,
        dialect: Dialect | None = None,
        one_request: bool = False,
    ) -> Cursor | None:
        """Subscribe to a task's events; None: the terminal frame was read before.

        A dialect replaces the native form of the frames.
        """
        ...

    def session(self, session_id: str, *, identity: str) -> SessionView:
        """Tell the counters of a session."""
        ...

    def delete_session(self, session_id: str, *, identity: str) -> None:
        """Forget a session."""
        ...

    def queue_depth(self, model_id: str | None = None) -> int:
        """Count the tasks that wait, all or those for one model."""
        ...


class Pools(Protocol):
    """The pools that tasks can go to; every call may raise ApiError or PoolError."""

    async def settled(self) -> None:
        """Return once placement knows of the pools what is shown of them."""
        ...

    def snapshots(self) -> tuple[PoolView, ...]:
        """Return how every pool is."""
        ...

    def snapshot(self, pool_id: str) -> PoolView:
        """Return how one pool is, by its id alone or with its node's."""
        ...

    async def drain(self, pool_id: str, deadline_ms: int) -> PoolView:
        """Take no new task."""
        ...

    async def resume(self, pool_id: str) -> PoolView:
        """End a drain."""
        ...

    async def reload(self, pool_id: str, new_model_ref: str) -> PoolView:
        """Begin to change the model."""
        ...

    async def purge(self, pool_id: str, wish: PurgeRequest) -> PoolView:
        """Begin to delete what it takes of the disk."""
        ...


class Models(Protocol):
    """The models as clients see them, each once."""

    async def models(self) -> tuple[ModelView, ...]:
        """Return all of them."""
        ...


class Machine(Protocol):
    """What this process tells about itself, and machines about themselves."""

    async def gpus(self, node_id: str | None) -> GpuList:
        """Return the GPUs of a machine."""
        ...

    async def node(self, node_id: str | None) -> NodeView:
        """Return what a machine is and offers."""
        ...

    def capabilities(self) -> Capabilities:
        """Return engines, features and limits."""
        ...

    def readiness(self) -> Readiness:
        """Tell whether tasks can be taken."""
        ...


class Nodes(Protocol):
    """Who keeps the nodes that are other processes; every call may raise ApiError."""

    def register(self, message: RegisterRequest) -> RegisterResponse:
        """Take a node in."""
        ...

    def heartbeat(self, node_id: str, message: HeartbeatRequest) -> HeartbeatResponse:
        """Take the report of the node that the path names."""
        ...

    def hear(self, node_id: str, raw: bytes) -> HeartbeatResponse:
        """Do the same with a report as it came."""
        ...

    def deregister(self, node_id: str, message: DeregisterRequest) -> DeregisterResponse:
        """Let a node go."""
        ...

    def remove(self, node_id: str) -> DeregisterResponse:
        """Forget a node that an operator says is gone."""
        ...

    def pool_ready(self, message: PoolReadyCallback) -> PoolReadyResponse:
        """Take what a node says of one pool."""
        ...

    def nodes(self) -> NodeList:
        """Return how every node stands."""
        ...

    async def drain(self, node_id: str, deadline_ms: int) -> NodeStanding:
        """Start no new task on a node."""
        ...

    async def resume(self, node_id: str) -> NodeStanding:
        """End a node's drain."""
        ...

    def availability(self) -> Availability:
        """Return where each model is."""
        ...


class HttpObserver(Protocol):
    """Who counts the requests."""

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        """Count one answer; `route` is the pattern of its path."""
        ...

    def task_admitted(self, duration_ms: float) -> None:
        """Measure one admission."""
        ...

    def stream_opened(self) -> None:
        """Count one more event stream."""
        ...

    def stream_closed(self) -> None:
        """Count one event stream less."""
        ...

    def exposition(self) -> tuple[bytes, str]:
        """Return the metrics as text, and its content type."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that handlers call."""

    tasks: Tasks
    artifacts: ArtifactStore
    pools: Pools
    models: Models
    machine: Machine
    observer: HttpObserver
    disks: Disks
    """Of this machine, or those of the nodes."""
    nodes: Nodes | None = None
    """None where this process is its own and only node."""
    now_ms: Callable[[], int]
    """Unix time."""
