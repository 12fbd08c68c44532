"""Attempts: each relays one engine stream and gives its slot back.

An attempt whose adapter can begin a run at once costs no task: the engine's connection drives it,
up to the frame that ends the stream. Whatever is not the usual case goes on in a task of its own.

The slot is free again only when the engine has confirmed that it stopped; a replica that does
not is suspect until it answers.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from adapter_api import AdapterError, EngineFinish, Fault, NotBegun, Run, WorkerAdapter
from admission_coordinator import errors
from admission_coordinator.ending import StreamEnds
from admission_coordinator.fates import Fates
from admission_coordinator.limits import WallLimit
from admission_coordinator.machine import Move
from admission_coordinator.ports import Loan, NowMs, Replicas, TaskObserver
from admission_coordinator.relay import TokenRelay, engine_request
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.suspects import Suspects
from admission_coordinator.task import Task
from admission_coordinator.waiting import ModelLine
from api_types import ApiError, TaskState
from multi_node_placement import ClusterView, Reservation


class Attempt:
    """One attempt of a task on a reserved slot; what `Attempts` knows of it."""

    __slots__ = (
        "_attempts",
        "adapter",
        "bound_s",
        "canceled",
        "deadline",
        "in_task",
        "line",
        "loan",
        "relay",
        "reservation",
        "run",
        "task",
        "worker",
    )

    def __init__(
        self, attempts: "Attempts", task: Task, reservation: Reservation, line: ModelLine
    ) -> None:
        self._attempts = attempts
        self.task = task
        self.reservation = reservation
        self.line = line
        self.bound_s = time.perf_counter()
        self.relay: TokenRelay
        self.deadline: asyncio.TimerHandle | None = None
        self.loan: Loan | None = None
        self.adapter: WorkerAdapter | None = None
        self.run: Run | None = None
        """A run that was begun without a task."""
        self.in_task = False
        """Whether a task was made for it, which may not have begun."""
        self.worker: asyncio.Task[None] | None = None
        """That task, once it has."""
        self.canceled = False

    def cancel(self) -> None:
        """End it soon, in its task: whoever calls this may be the run itself, with a token."""
        if self.worker is not None:
            self.worker.cancel()
            return
        self.canceled = True
        if not self.in_task:
            self._attempts.go_on(self)

    def evict(self) -> None:
        """End it because its pool must be emptied; the task may live on."""
        self.task.evicted = True
        if self.task.running is self:
            self.cancel()

    def ended(self, outcome: EngineFinish | Exception) -> None:
        """Take how the run has ended that was begun without a task."""
        self.run = None
        if self.canceled:
            return  # The task that ends it is on its way.
        if isinstance(outcome, EngineFinish):
            self._attempts.finish(self, outcome)
        else:
            self._attempts.go_on(self, outcome)

    def give_back(self, error: BaseException | None) -> None:
        """End the loan of the adapter, if there is one."""
        loan = self.loan
        if loan is not None:
            self.loan = None
            loan.end(error)


class Attempts:
    """Runs attempts; `put_back` is what becomes of a task that may be tried again."""

    def __init__(
        self,
        settings: CoordinatorSettings,
        *,
        cluster: ClusterView,
        replicas: Replicas,
        observer: TaskObserver,
        now_ms: NowMs,
        ends: StreamEnds,
        put_back: Callable[[Task, str], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._replicas = replicas
        self._observer = observer
        self._now_ms = now_ms
        self._fates = Fates(settings, cluster=cluster, ends=ends, put_back=put_back)
        self._group = group
        self._suspects = Suspects(cluster, group=group, confirm_ms=settings.stop_timeout_ms)
        self._wall = WallLimit(settings.decode_wall_timeout_ms, stop=self._time_is_up)
        self._running: dict[Attempt, None] = {}
        self._all_ended: asyncio.Future[None] | None = None

    def start(self, task: Task, line: ModelLine, reservation: Reservation) -> None:
        """Begin an attempt on a reserved slot."""
        attempt = Attempt(self, task, reservation, line)
        attempt.relay = TokenRelay(
            task, now_ms=self._now_ms, on_first_token=partial(self._first_token, reservation)
        )
        task.running = attempt
        self._running[attempt] = None
        if task.deadline_at_ms is None:
            self._wall.watch(task, attempt.bound_s)
        else:
            attempt.deadline = self._limit_by_deadline(task, task.deadline_at_ms)
        if not self._begin(attempt):
            self.go_on(attempt)

    def stop(self, task: Task, error: ApiError) -> None:
        """Stop the running attempt of a task: from here on no token is written."""
        task.stop_error = error
        task.move(Move.STOP)
        task.log.seal()
        if task.running is not None:
            task.running.cancel()

    async def settled(self, *, timeout_s: float | None = None) -> None:
        """Wait until every attempt has ended and given its slot back."""
        if self._running:
            if self._all_ended is None:
                self._all_ended = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._all_ended,), timeout=timeout_s)

    def close(self) -> None:
        """Watch and ask nobody any more, once every attempt has ended."""
        self._wall.close()
        self._suspects.stop()

    # the short way

    def _begin(self, attempt: Attempt) -> bool:
        """Begin without a task; False where that cannot be, for whatever reason."""
        if attempt.task.carried_text:
            return False
        try:
            adapter = self._lend(attempt)
            begin = getattr(adapter, "begin", None)
            if begin is None:
                return False
            attempt.task.handover_ms = (time.perf_counter() - attempt.bound_s) * 1000
            request = engine_request(attempt.task, self._settings)
            attempt.run = begin(request, attempt.relay, attempt.ended)
        except Exception:  # noqa: BLE001 - it comes again in the attempt's task, and is told there
            return False
        return attempt.run is not None

    def finish(self, attempt: Attempt, finish: EngineFinish) -> None:
        """End an attempt well, all at once."""
        try:
            attempt.give_back(None)
            self._fates.finished(attempt.task, finish, attempt.line, attempt.reservation)
        except Exception as error:  # noqa: BLE001 - a bug in one attempt must not end all others
            self.go_on(attempt, error)
            return
        self._settle(attempt)
        self._cluster.release(attempt.reservation)
        self._forget(attempt)

    # the way of all others

    def go_on(self, attempt: Attempt, told: Exception | None = None) -> None:
        """Go on in a task: from the beginning, or with what was told of the run that was begun."""
        attempt.in_task = True
        name = attempt.task.task_id
        try:
            self._group.create_task(self._run(attempt, told), name=name)
        except RuntimeError:  # The group is being cancelled, as something else has crashed.
            loop = asyncio.get_running_loop()
            attempt.worker = loop.create_task(self._run(attempt, told), name=name)

    async def _run(self, attempt: Attempt, told: Exception | None) -> None:
        attempt.worker = asyncio.current_task()
        failure: Exception | asyncio.CancelledError
        try:
            finish = await self._outcome(attempt, told)
        except asyncio.CancelledError as error:
            _forget_cancellation()
            failure = error
        except Exception as error:  # noqa: BLE001 - a bug in one attempt must not end all others
            failure = error
        else:
            attempt.worker = None
            self.finish(attempt, finish)
            return
        try:
            self._break_off(attempt, failure)
        finally:
            self._settle(attempt)
        try:
            await self._free_after(failure, attempt)
        finally:
            self._forget(attempt)

    async def _outcome(self, attempt: Attempt, told: Exception | None) -> EngineFinish:
        task = attempt.task
        if attempt.canceled:
            if attempt.run is not None:
                attempt.run.cancel()
                attempt.run = None
            raise asyncio.CancelledError
        if told is not None and not isinstance(told, NotBegun):
            raise told
        adapter = self._lend(attempt) if attempt.loan is None else attempt.loan.adapter
        if task.carried_text:
            # Pieces are not tokens: the engine counts what the text really takes.
            task.carried_tokens = len(await adapter.tokenize(task.carried_text))
        task.handover_ms = (time.perf_counter() - attempt.bound_s) * 1000
        return await adapter.run(engine_request(task, self._settings), attempt.relay)

    def _lend(self, attempt: Attempt) -> WorkerAdapter:
        task = attempt.task
        loan = attempt.loan = self._replicas.lend(
            attempt.reservation,
            lease=f"{task.task_id}/{task.attempt_number}",
            on_revoked=attempt.evict,
        )
        attempt.adapter = loan.adapter
        return loan.adapter

    def _break_off(self, attempt: Attempt, failure: Exception | asyncio.CancelledError) -> None:
        attempt.give_back(failure)
        match failure:
            case AdapterError():
                self._fates.failed(attempt.task, failure, attempt.reservation)
            case asyncio.CancelledError():
                self._fates.stopped(attempt.task)
            case _:
                self._fates.crashed(attempt.task, failure)

    async def _free_after(self, failure: BaseException, attempt: Attempt) -> None:
        """Give the slot back once it is known that the engine has let go of it."""
        adapter, reservation = attempt.adapter, attempt.reservation
        if adapter is None:
            if isinstance(failure, AdapterError):
                # Gone or full, and not yet reported so: nothing goes there before its next report.
                self._cluster.mark_full(reservation.key)
            self._cluster.release(reservation)
            return
        if isinstance(failure, AdapterError) and failure.fault is Fault.WORKER:
            self._suspects.watch_health(adapter, reservation)
        task_id = attempt.task.task_id
        if await adapter.confirm_stopped(task_id, timeout_ms=self._settings.stop_timeout_ms):
            self._cluster.release(reservation)
        else:
            self._suspects.watch_stop(adapter, task_id, reservation)

    # both ways

    def _settle(self, attempt: Attempt) -> None:
        task = attempt.task
        if attempt.deadline is None:
            self._wall.forget(task)
        else:
            attempt.deadline.cancel()
        task.running = None
        attempt.line.running.discard(task)

    def _forget(self, attempt: Attempt) -> None:
        del self._running[attempt]
        if not self._running and self._all_ended is not None:
            self._all_ended.set_result(None)
            self._all_ended = None

    def _limit_by_deadline(self, task: Task, deadline_at_ms: int) -> asyncio.TimerHandle:
        error = errors.deadline_passed("running")
        left_ms = max(0, deadline_at_ms - self._now_ms())
        return asyncio.get_running_loop().call_later(left_ms / 1000, self._time_is_up, task, error)

    def _time_is_up(self, task: Task, error: ApiError) -> None:
        if task.state is TaskState.RUNNING:
            self.stop(task, error)

    def _first_token(self, reservation: Reservation, task: Task) -> None:
        self._cluster.prompt_read(reservation)
        self._observer.first_token(task)


def _forget_cancellation() -> None:
    """Let this attempt go on awaiting: it was stopped, and has yet to clean up."""
    current = asyncio.current_task()
    while current is not None and current.cancelling():
        current.uncancel()
