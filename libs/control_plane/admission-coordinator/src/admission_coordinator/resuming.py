"""`on_worker_loss: resume`: the text so far goes to another replica, the stream goes on unbroken.

That is honest only where the next token follows from the text alone: greedy decoding, nothing
that looks at the tokens before, and the same weights in the same engine.
"""

from dataclasses import replace

from admission_coordinator.task import Task
from api_types import ApiError, ErrorCode, OnWorkerLoss, TaskRequest, Workload
from orchestrator_core import ReplicaView

_NEUTRAL = {"repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


def check_resumable(request: TaskRequest) -> None:
    """Refuse `resume` for a request whose stream could not go on elsewhere; raises `ApiError`."""
    if request.on_worker_loss is not OnWorkerLoss.RESUME:
        return
    sampling = request.sampling
    obstacles = [name for name in ("grammar", "json_schema", "logprobs") if getattr(sampling, name)]
    obstacles += [
        name for name, neutral in _NEUTRAL.items() if getattr(sampling, name) not in (None, neutral)
    ]
    if request.tools:
        obstacles.append("tools")
    if request.workload is not Workload.COMPLETION:
        obstacles.append(f"workload {request.workload.value}")
    if sampling.temperature != 0:
        obstacles.append("a temperature other than 0")
    if obstacles:
        raise ApiError(
            ErrorCode.INVALID_PARAMS,
            "on_worker_loss resume does not go with " + ", ".join(obstacles),
            hint="set sampling.temperature to 0 and leave these out, or use fail or restart",
        )


def carry(task: Task, lost_on: ReplicaView | None) -> None:
    """Take the text so far along to the next attempt, and ask for the same weights and engine."""
    task.carried_text = "".join(task.pieces)
    if lost_on is not None:
        task.constraint = replace(
            task.constraint,
            model_digest=lost_on.model_digest,
            engine=lost_on.engine,
            engine_version=lost_on.engine_version,
        )
