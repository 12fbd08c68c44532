"""One attempt: a child task that relays one engine stream and gives its slot back.

The slot is free again only when the engine has confirmed that it stopped; a replica that does
not is suspect until it answers.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from adapter_api import AdapterError, EngineFinish, Fault, WorkerAdapter
from admission_coordinator import errors
from admission_coordinator.ending import StreamEnds
from admission_coordinator.machine import Move
from admission_coordinator.ports import NowMs, Replicas, TaskObserver
from admission_coordinator.relay import TokenRelay, engine_request
from admission_coordinator.resuming import carry
from admission_coordinator.scoring import measured, work_of
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.suspects import Suspects
from admission_coordinator.task import Task
from admission_coordinator.waiting import ModelLine, WaitingRoom
from api_types import ApiError, ErrorCode, OnWorkerLoss, TaskState
from multi_node_placement import ClusterView, Reservation


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
        room: WaitingRoom,
        ends: StreamEnds,
        put_back: Callable[[Task, str], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._replicas = replicas
        self._observer = observer
        self._now_ms = now_ms
        self._room = room
        self._ends = ends
        self._put_back = put_back
        self._group = group
        self._suspects = Suspects(cluster, group=group, confirm_ms=settings.stop_timeout_ms)
        self._running: set[asyncio.Task[None]] = set()

    def start(self, task: Task, reservation: Reservation) -> None:
        """Begin an attempt on a reserved slot."""
        bound_s = time.perf_counter()
        running = self._group.create_task(
            self._attempt(task, reservation, bound_s), name=task.task_id
        )
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    def stop(self, task: Task, error: ApiError) -> None:
        """Stop the running attempt of a task: from here on no token is written."""
        task.stop_error = error
        task.move(Move.STOP)
        task.log.seal()
        if task.running is not None:
            task.running.cancel()

    def _evict(self, task: Task) -> None:
        """Stop the attempt because its pool must be emptied; the task may live on."""
        task.evicted = True
        if task.running is not None:
            task.running.cancel()

    async def settled(self, *, timeout_s: float | None = None) -> None:
        """Wait until every attempt has ended and given its slot back."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    def forget_suspects(self) -> None:
        """Stop asking replicas that have not answered; for shutting down."""
        self._suspects.stop()

    async def _attempt(self, task: Task, reservation: Reservation, bound_s: float) -> None:
        if task.log.sealed:  # Stopped before this ran at all; cancelling it then would skip it.
            self._cluster.release(reservation)
            self._room.line(task.model_id).running.discard(task)
            self._end_stopped(task)
            return
        task.running = asyncio.current_task()
        line = self._room.line(task.model_id)
        limit = self._limit_running_time(task)
        relay = TokenRelay(
            task, now_ms=self._now_ms, on_first_token=partial(self._first_token, reservation)
        )
        adapter: WorkerAdapter | None = None
        failure: BaseException | None = None
        try:
            async with self._replicas.call(
                reservation.key,
                lease=f"{task.task_id}/{task.attempts + task.lost}",
                on_revoked=partial(self._evict, task),
            ) as adapter:
                if task.carried_text:
                    # Pieces are not tokens: the engine counts what the text really takes.
                    task.carried_tokens = len(await adapter.tokenize(task.carried_text))
                task.handover_ms = (time.perf_counter() - bound_s) * 1000
                finish = await adapter.run(engine_request(task, self._settings), relay)
            self._finish(task, finish, line, reservation)
        except AdapterError as error:
            failure = error
            self._failed(task, error, reservation)
        except asyncio.CancelledError as error:
            failure = error
            _forget_cancellation()
            self._end_stopped(task)
        except Exception as error:  # noqa: BLE001 - a bug in one attempt must not end all others
            failure = task.crash = error
            self._ends.fail(task, errors.internal())
        finally:
            limit.cancel()
            task.running = None
            line.running.discard(task)
            if failure is None:
                self._cluster.release(reservation)
        if failure is not None:
            await self._free_after(failure, adapter, task, reservation)

    def _limit_running_time(self, task: Task) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        if task.deadline_at_ms is not None:
            error = errors.deadline_passed("running")
            limit_ms = task.deadline_at_ms - self._now_ms()
        else:
            limit_ms = self._settings.decode_wall_timeout_ms
            error = errors.wall_limit(limit_ms)
        return loop.call_later(max(0, limit_ms) / 1000, self.stop, task, error)

    async def _free_after(
        self,
        failure: BaseException,
        adapter: WorkerAdapter | None,
        task: Task,
        reservation: Reservation,
    ) -> None:
        """Give the slot back once it is known that the engine has let go of it."""
        if adapter is None:
            # Gone or full, and not yet reported so: nothing goes there before its next report.
            self._cluster.mark_full(reservation.key)
            self._cluster.release(reservation)
            return
        if isinstance(failure, AdapterError) and failure.fault is Fault.WORKER:
            self._suspects.watch_health(adapter, reservation)
        if await adapter.confirm_stopped(task.task_id, timeout_ms=self._settings.stop_timeout_ms):
            self._cluster.release(reservation)
        else:
            self._suspects.watch_stop(adapter, task.task_id, reservation)

    def _first_token(self, reservation: Reservation, task: Task) -> None:
        self._cluster.prompt_read(reservation)
        self._observer.first_token(task)

    def _finish(
        self, task: Task, finish: EngineFinish, line: ModelLine, reservation: Reservation
    ) -> None:
        task.finish_reason = finish.finish_reason
        # A resumed attempt was given the carried text with its prompt.
        task.tokens_in = max(0, finish.tokens_in - task.carried_tokens)
        task.tokens_out = finish.tokens_out + task.carried_tokens
        task.tokens_cached = finish.tokens_cached
        task.seed = finish.seed
        if task.state is TaskState.RUNNING:
            self._ends.finish(task)
            line.times.record(
                first_token_ms=(task.first_token_at_ms or task.ended_ms or 0)
                - (task.dispatched_ms or 0),
                total_ms=(task.ended_ms or 0) - (task.dispatched_ms or 0),
                tokens=finish.tokens_out,
            )
            took = measured(task, finish)
            if took is not None:
                work = work_of(task, answer="".join(task.pieces))
                self._cluster.finished(reservation, work, took)
        else:
            self._end_stopped(task)

    def _failed(self, task: Task, error: AdapterError, reservation: Reservation) -> None:
        told = errors.told(error, engine=task.engine, pool_id=task.pool_id)
        if task.state is not TaskState.RUNNING:
            self._end_stopped(task)
        elif not errors.may_try_again(error):
            self._ends.fail(task, told)
        elif error.fault is not Fault.WORKER:
            self._put_back(task, error.code)
        else:
            self._lost(task, told, reservation)

    def _lost(self, task: Task, told: ApiError, reservation: Reservation) -> None:
        """Try again if the client need not know, or has asked for it; within the budget."""
        task.lost += 1
        task.tried.add(reservation.key)
        unseen = task.first_token_at_ms is None
        wish = task.request.on_worker_loss
        if not unseen and wish is OnWorkerLoss.FAIL:
            self._ends.fail(task, told)
        elif task.lost >= self._settings.retry_budget:
            self._ends.fail(task, errors.exhausted(task.lost, told) if unseen else told)
        elif unseen:
            self._put_back(task, told.code)
        elif wish is OnWorkerLoss.RESUME:
            carry(task, self._cluster.get(reservation.key))
            self._put_back(task, told.code)
        else:
            self._put_back(task, told.code)
            self._begin_again(task)

    def _begin_again(self, task: Task) -> None:
        """Show the client a new attempt: the text so far is void."""
        task.pieces.clear()
        task.token_index = 0
        task.first_token_at_ms = None
        self._ends.begin(task, 1, 0)

    def _end_stopped(self, task: Task) -> None:
        """End an attempt that was cancelled, by `stop`, an eviction, or with the whole group."""
        if task.state is TaskState.RUNNING and task.evicted:
            task.evicted = False
            if task.first_token_at_ms is None:
                self._put_back(task, ErrorCode.POOL_DRAINING.value)
            else:
                self._ends.fail(task, errors.drained(task.pool_id))
            return
        if task.state is TaskState.RUNNING:
            task.stop_error = errors.shutting_down()
            task.move(Move.STOP)
        self._ends.fail(task, task.stop_error or errors.canceled())


def _forget_cancellation() -> None:
    """Let this attempt go on awaiting: it was stopped, and has yet to clean up."""
    current = asyncio.current_task()
    while current is not None and current.cancelling():
        current.uncancel()
