"""What a scorer of placement is told of a task: before it runs, and when it is over."""

from adapter_api import EngineFinish
from admission_coordinator.task import Task
from api_types import TaskRequest
from multi_node_placement import Measured, Work, blocks_of


def work_of(task: Task, answer: str = "") -> Work:
    """Describe a task by its prompt, once it is over together with its answer."""
    text = prompt_text(task.request, answer)
    return Work(
        model_id=task.model_id,
        chars=len(text),
        blocks=blocks_of(text),
        reuses=task.uses_cache,
        tokens_out=task.request.expected_tokens,
        max_tokens=task.request.max_tokens,
    )


def measured(task: Task, finish: EngineFinish) -> Measured | None:
    """Return what a finished attempt took, by its engine's clock where it has told.

    None for one that went on with the text of another, as its prompt is not the one that was asked,
    and for one that had no prompt.
    """
    if task.work is None or task.carried_text or task.first_token_at_ms is None:
        return None
    if not task.work.chars:
        return None
    prefill_ms = finish.prompt_ms
    if prefill_ms is None:
        prefill_ms = task.first_token_at_ms - (task.dispatched_ms or task.created_ms)
    decode_ms = finish.decode_ms
    if decode_ms is None:
        decode_ms = task.decode_time_ms or 0
    return Measured(
        chars=task.work.chars,
        tokens_in=finish.tokens_in,
        tokens_cached=finish.tokens_cached or 0,
        tokens_out=finish.tokens_out,
        prefill_s=prefill_ms / 1000,
        decode_s=decode_ms / 1000,
    )


def prompt_text(request: TaskRequest, answer: str = "") -> str:
    """Write all that an engine reads, so that what a prompt begins with is what this begins with.

    It is not what the engine's template makes of it; it only has to differ where that differs.
    """
    if request.messages is None:
        return (request.prompt or "") + answer
    told = [] if request.tools is None else [repr(request.tools)]
    told += [message.model_dump_json(exclude_none=True) for message in request.messages]
    if answer:
        said = type(request.messages[0]).model_validate({"role": "assistant", "content": answer})
        told.append(said.model_dump_json(exclude_none=True))
    return "".join(told)
