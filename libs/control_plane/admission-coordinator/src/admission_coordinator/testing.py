"""Fakes of this library's ports, and a reader that holds a stream to its grammar."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_api import AdapterError, EngineOverloaded, EngineUnreachable, WorkerAdapter
from admission_coordinator.log import Cursor
from admission_coordinator.ports import ModelChoice
from admission_coordinator.task import Task
from api_types import ApiError, ErrorCode, PreparationStep
from multi_node_placement import Reservation
from orchestrator_core import ReplicaKey


class FakeReplicas:
    """Lends the adapters it was given; remembers how each attempt ended."""

    def __init__(self, adapters: Mapping[ReplicaKey, WorkerAdapter]) -> None:
        self.adapters = dict(adapters)
        self.full: set[ReplicaKey] = set()
        self._leases: dict[tuple[ReplicaKey, str], Callable[[], None]] = {}
        self.outcomes: list[tuple[ReplicaKey, str]] = []

    def lend(
        self, reservation: Reservation, *, lease: str, on_revoked: Callable[[], None]
    ) -> "FakeLoan":
        """Lend an adapter, unless it is gone or its node says that it is full."""
        key = reservation.key
        if key not in self.adapters:
            raise EngineUnreachable("the replica is gone")
        if key in self.full:
            raise EngineOverloaded("the node has no slot")
        if (key, lease) in self._leases:
            raise RuntimeError(f"{lease} is lent already")
        self._leases[key, lease] = on_revoked
        return FakeLoan(self, key, lease)

    def end(self, key: ReplicaKey, lease: str, error: BaseException | None) -> None:
        """Take an adapter back."""
        del self._leases[key, lease]
        if error is None:
            outcome = "success"
        else:
            outcome = error.fault.value if isinstance(error, AdapterError) else "neutral"
        self.outcomes.append((key, outcome))

    def revoke(self, pool_id: str) -> None:
        """Want every slot of a pool back."""
        for (key, _), on_revoked in list(self._leases.items()):
            if key.pool_id == pool_id:
                on_revoked()


class FakeLoan:
    """An adapter that `FakeReplicas` has lent."""

    def __init__(self, replicas: FakeReplicas, key: ReplicaKey, lease: str) -> None:
        self.adapter = replicas.adapters[key]
        self._replicas = replicas
        self._key = key
        self._lease = lease

    def end(self, error: BaseException | None) -> None:
        """Give it back."""
        self._replicas.end(self._key, self._lease, error)


class FakeModels:
    """A directory of fixed models; None means the first."""

    def __init__(self, *models: ModelChoice) -> None:
        self._models = {model.model_id: model for model in models}
        self.fetches: dict[str, PreparationStep] = {}

    def fetching(self, model_id: str) -> PreparationStep | None:
        """Return what a test has put there."""
        return self.fetches.get(model_id)

    def resolve(self, model_ref: str | None) -> ModelChoice:
        """Return the model; raises `MODEL_NOT_FOUND`."""
        if model_ref is None:
            return next(iter(self._models.values()))
        try:
            return self._models[model_ref]
        except KeyError:
            raise ApiError(ErrorCode.MODEL_NOT_FOUND, f"no model {model_ref}") from None


class RecordingObserver:
    """Keeps what it was told, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.lost: list[str] = []

    def admitted(self, task: Task) -> None:
        """Record it."""
        self.seen.append(("admitted", task.task_id))

    def refused(self, error: ApiError, *, model_id: str | None, identity: str) -> None:
        """Record it."""
        self.seen.append(("refused", f"{error.code.value} for {identity}, model {model_id}"))

    def dispatched(self, task: Task) -> None:
        """Record it."""
        self.seen.append(("dispatched", task.task_id))

    def first_token(self, task: Task) -> None:
        """Record it."""
        self.seen.append(("first_token", task.task_id))

    def put_back(self, task: Task, cause: str) -> None:
        """Record it."""
        self.seen.append(("put_back", cause))
        self.lost.append(task.task_id)

    def ended(self, task: Task) -> None:
        """Record it."""
        self.seen.append(("ended", task.task_id))


@dataclass(frozen=True, slots=True)
class Frame:
    """One parsed frame of a stream."""

    id: int
    event: str
    data: dict[str, Any]


def parse(data: bytes) -> list[Frame]:
    """Parse the bytes of a stream."""
    frames = []
    for block in data.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        frames.append(Frame(int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return frames


async def read_all(cursor: Cursor, *, timeout_s: float = 5.0) -> list[Frame]:
    """Read a stream to its end and close the cursor; raises `TimeoutError` when nothing comes."""
    data = b""
    try:
        while not cursor.ended:
            more = await cursor.read(timeout_s=timeout_s)
            if not more and not cursor.ended:
                raise TimeoutError(f"silence after {data.decode()!r}")
            data += more
    finally:
        cursor.close()
    return parse(data)


def check_grammar(frames: list[Frame]) -> str:
    """Hold a whole stream to the contract; returns the text of its last attempt."""
    assert [f.id for f in frames] == sorted({f.id for f in frames}), "ids must increase"
    named = [f for f in frames if f.event != "metrics"]
    assert named[0].event == "started", "the first frame is started"
    assert named[-1].event in ("end", "error"), "the last frame is terminal"
    text, index, results = "", 0, 0
    for attempt_or_token in named[:-1]:
        match attempt_or_token.event:
            case "started":
                text, index = "", 0
            case "token":
                assert attempt_or_token.data["i"] == index, "token indexes have no gaps"
                assert not results, "a result is followed by the end"
                text += attempt_or_token.data["t"]
                index += attempt_or_token.data.get("n", 1)
            case "result":
                results += 1
            case other:
                raise AssertionError(f"{other} stands before the end")
    assert results <= 1, "at most one result"
    return text
