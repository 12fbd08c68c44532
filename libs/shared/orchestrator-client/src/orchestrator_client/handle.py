"""One task, from its admission to its last event."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from api_types import Started, TaskAccepted, TaskStatus, Token
from orchestrator_client.errors import TaskRestarted
from orchestrator_client.events import Answer, Completion, TaskEvent
from orchestrator_client.following import follow
from orchestrator_client.policy import RetryPolicy
from orchestrator_client.transport import Call, Transport


class TaskHandle:
    """One admitted task. `accepted` is the answer to `submit`; None on a task known by its id."""

    def __init__(
        self,
        transport: Transport,
        reconnect: RetryPolicy,
        task_id: UUID,
        *,
        correlation_id: str,
        accepted: TaskAccepted | None = None,
    ) -> None:
        self.task_id = task_id
        self.correlation_id = correlation_id
        self.accepted = accepted
        self._transport = transport
        self._reconnect = reconnect

    def events(
        self, *, last_event_id: int | None = None, verbose: bool = False
    ) -> AsyncGenerator[TaskEvent]:
        """Yield the events after `last_event_id` (None: all), each once, across cuts.

        The terminal event is the last one; an `error` is yielded, not raised. After a second
        `started` the earlier text is void. To leave early, use `contextlib.aclosing`.
        """
        call = self._call("GET", "/events", params={"verbose": "true"} if verbose else {})
        return self._follow(call, call, last_event_id)

    def events_from(self, opening: Call) -> AsyncGenerator[TaskEvent]:
        """Yield the events of a task that `opening`, sent first, admits."""
        return self._follow(opening, self._call("GET", "/events"))

    async def text(self) -> AsyncGenerator[str]:
        """Yield the text as it comes; raise `TaskFailed` or `TaskRestarted` where it breaks off."""
        answer = Answer(self.task_id)
        async with aclosing(self.events()) as events:
            async for event in events:
                if isinstance(event.data, Started) and answer.text:
                    raise TaskRestarted(f"task {self.task_id}: attempt {event.data.attempt} began")
                answer.add(event)
                if isinstance(event.data, Token):
                    yield event.data.t

    async def result(self) -> Completion:
        """Wait for the end and return the whole answer; raise `TaskFailed` for an `error`."""
        return await complete(self.task_id, self.events())

    async def status(self) -> TaskStatus:
        """Return where the task stands."""
        return await self._transport.fetch(TaskStatus, self._call("GET"))

    async def cancel(self) -> None:
        """Stop the task; without effect on one that has ended."""
        await self._transport.send(self._call("POST", "/cancel"))

    def _follow(
        self, opening: Call, resuming: Call, last_event_id: int | None = None
    ) -> AsyncGenerator[TaskEvent]:
        return follow(
            self._transport,
            opening=opening,
            resuming=resuming,
            reconnect=self._reconnect,
            last_event_id=last_event_id,
        )

    def _call(self, method: str, suffix: str = "", *, params: dict[str, str] | None = None) -> Call:
        return Call(
            method=method,
            path=f"/v2/tasks/{self.task_id}{suffix}",
            correlation_id=self.correlation_id,
            params=params or {},
        )


async def complete(task_id: UUID, events: AsyncGenerator[TaskEvent]) -> Completion:
    """Add up `events` to the whole answer, and close them."""
    answer = Answer(task_id)
    async with aclosing(events):
        async for event in events:
            answer.add(event)
    return answer.completion()
