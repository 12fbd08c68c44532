"""Binds waiting tasks to free slots, late: a task never waits behind one replica."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial

from admission_coordinator import errors
from admission_coordinator.attempt import Attempts
from admission_coordinator.demand import DemandTeller
from admission_coordinator.ending import StreamEnds
from admission_coordinator.machine import Move
from admission_coordinator.placing import refusal_of
from admission_coordinator.ports import ModelDirectory, NowMs, Replicas, TaskObserver
from admission_coordinator.scoring import work_of
from admission_coordinator.sessions import SessionTable
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.table import TaskTable
from admission_coordinator.task import Task
from admission_coordinator.telling import PositionTeller
from admission_coordinator.waiting import ModelLine, WaitingRoom, as_queued
from api_types import ApiError, TaskState
from multi_node_placement import ClusterView
from orchestrator_core import (
    Constraint,
    Expired,
    ExpiredBecause,
    Outcome,
    PlacementDecision,
    ReplicaKey,
    When,
)

_EXPLAINED_CANDIDATES = 32
"""So many candidates a placement explains; a cluster may have thousands."""


class Dispatcher:
    """Hands waiting tasks to free slots, and ends those that wait in vain."""

    def __init__(
        self,
        settings: CoordinatorSettings,
        *,
        cluster: ClusterView,
        models: ModelDirectory,
        replicas: Replicas,
        observer: TaskObserver,
        now_ms: NowMs,
        room: WaitingRoom,
        sessions: SessionTable,
        table: TaskTable,
        ends: StreamEnds,
        group: asyncio.TaskGroup,
        demand: DemandTeller,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._scores = cluster.scores
        self._observer = observer
        self._now_ms = now_ms
        self._room = room
        self._sessions = sessions
        self._table = table
        self._ends = ends
        self._demand = demand
        self._teller = PositionTeller(
            settings, cluster=cluster, models=models, room=room, table=table, sessions=sessions
        )
        self._attempts = Attempts(
            settings,
            cluster=cluster,
            replicas=replicas,
            observer=observer,
            now_ms=now_ms,
            ends=ends,
            put_back=self._put_back,
            group=group,
        )
        self._pool_name = lru_cache(maxsize=4096)(partial(_pool_name, settings))
        self._pump_due = False
        self._ticker_wake = asyncio.Event()
        self._ticker_rests = True

    # handing out

    def slot_freed(self, _key: ReplicaKey) -> None:
        """Hand out what waits once whoever reported the slot is done.

        What has yet to come needs no handing out: it looks for a free slot itself.
        """
        if self._room.waiting and not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self._pump_all)

    def _pump_all(self) -> None:
        self._pump_due = False
        for line in list(self._room):
            if len(line.queue):
                self.pump(line)

    def place_at_once(self, task: Task, line: ModelLine) -> PlacementDecision | None:
        """Choose the replica of a new task if it need not wait, as if it came out of the queue.

        None: something waits already, no slot is free, or the queue would not take it.
        """
        if self._room.waiting and len(line.queue):
            return None
        if self._scores:
            task.work = work_of(task)
        began_s = time.perf_counter()
        decision = self._cluster.decide(
            task.constraint,
            preferences=task.preferences,
            session_id=task.session_key,
            work=task.work,
        )
        if decision.outcome is not Outcome.PLACED or not line.queue.pass_through(
            task.number, task.request.priority, task.size_bytes, task.created_ms
        ):
            return None
        task.placement_ms = (time.perf_counter() - began_s) * 1000
        task.told_position = 1
        return decision

    def pump(self, line: ModelLine) -> None:
        """Bind waiting tasks of a model to free slots until one of both runs out."""
        while len(line.queue) and self._cluster.has_room(line.model_id):
            began_s = time.perf_counter()
            decided: dict[Constraint, PlacementDecision] = {}
            now_ms = self._now_ms()
            item = line.queue.take(partial(self._has_room, decided), now_ms)
            if item is None:
                return
            task = self._table.find(item.task_id)
            if task is None:
                raise RuntimeError(f"task {item.task_id} waits but is not known")
            decision = self._decide(task, decided.get(task.constraint))
            task.placement_ms = (time.perf_counter() - began_s) * 1000
            line.moved = True
            self._demand.note()
            self.bind(task, line, decision, now_ms)

    def _has_room(
        self, decided: dict[Constraint, PlacementDecision], constraint: Constraint
    ) -> bool:
        decision = decided[constraint] = self._cluster.decide(constraint)
        return decision.outcome is Outcome.PLACED

    def _decide(self, task: Task, known: PlacementDecision | None) -> PlacementDecision:
        """Choose the replica of a task that was taken since there is room for it.

        `known` is what was decided to see that, and stands for a task without wishes of its own.
        """
        wishes = task.preferences.any or task.tried or task.session_key or task.work
        if known is not None and not wishes:
            return known
        decision = self._cluster.decide(
            task.constraint,
            preferences=task.preferences,
            session_id=task.session_key,
            tried=frozenset(task.tried),
            work=task.work,
        )
        if decision.outcome is Outcome.PLACED:
            return decision
        # Every replica that has a slot has been tried: better again there than never.
        return self._cluster.decide(task.constraint, preferences=task.preferences, work=task.work)

    def bind(self, task: Task, line: ModelLine, decision: PlacementDecision, now_ms: int) -> None:
        """Let a task run where it was decided; nothing may have happened since."""
        if decision.chosen is None:
            raise RuntimeError(f"task {task.task_id} was taken for a slot that is not there")
        task.candidates = decision.explain(_EXPLAINED_CANDIDATES)
        reservation = self._cluster.reserve(decision, session_id=task.session_key, work=task.work)
        key = decision.chosen.key
        task.node_id, task.replica_id = key.node_id, key.replica_id
        task.pool_id = self._pool_name(key)
        task.engine = decision.chosen.engine
        task.engine_version = decision.chosen.engine_version
        task.dispatched_ms = now_ms
        task.move(Move.DISPATCH)
        line.drain.record(now_ms, waited_ms=now_ms - task.created_ms)
        line.running.add(task)
        # What has never waited has told its readers nothing yet.
        if task.queued is not None and task.log.next_id > 1:
            task.log.append_metrics(
                {"queue_position": 0, "predicted_start_ms": 0, "pool_id": task.pool_id},
                human="running now",
            )
        self._observer.dispatched(task)
        self._attempts.start(task, line, reservation)

    # ends

    def _put_back(self, task: Task, cause: str) -> None:
        task.move(Move.PUT_BACK)
        line = self._room.line(task.model_id)
        away_ms = self._now_ms() - (task.dispatched_ms or task.created_ms)
        waiting = replace(task.queued or as_queued(task), constraint=task.constraint)
        task.queued = line.queue.put_back(waiting, away_ms=away_ms)
        task.node_id = task.pool_id = task.replica_id = None
        task.dispatched_ms = None
        line.moved = True
        self._demand.note()
        self._observer.put_back(task, cause)
        self.wake_ticker()
        # Not through `pump`: the slot that was just lost may only now be on its way back.
        asyncio.get_running_loop().call_soon(self._after_put_back, task)

    def _after_put_back(self, task: Task) -> None:
        self.end_orphans()
        self.pump(self._room.line(task.model_id))

    def stop(self, task: Task, error: ApiError) -> None:
        """End a task for a reason of ours or its client's.

        At once while it waits, else by stopping its attempt: from here on no token is written.
        """
        if task.state is TaskState.QUEUED:
            line = self._room.line(task.model_id)
            line.queue.cancel(task.task_id)
            line.moved = True
            self._demand.note()
            self._ends.fail(task, error)
        elif task.state is TaskState.RUNNING:
            self._attempts.stop(task, error)

    # changes in the cluster

    def end_orphans(self) -> None:
        """End the waiting tasks of every lane that nothing will ever serve again."""
        for line in list(self._room):
            for constraint in line.queue.lanes():
                servable = self._cluster.could_serve(constraint)
                if servable.when is When.NEVER:
                    self._end_lane(line, constraint)

    def _end_lane(self, line: ModelLine, constraint: Constraint) -> None:
        servable = self._cluster.could_serve(constraint)
        line.moved = True
        self._demand.note()
        for item in line.queue.cancel_lane(constraint):
            task = self._table.find(item.task_id)
            if task is not None:
                error = refusal_of(servable, task.request, constraint, self._cluster)
                self._ends.fail(task, error)

    # time

    def watch(self, task: Task) -> None:
        """Tell a reader of this waiting task how its place changes."""
        self._teller.watch(task)
        self.wake_ticker()

    def wake_ticker(self) -> None:
        """Something waits that has a time limit or a reader."""
        if self._ticker_rests:
            self._ticker_wake.set()

    async def tick_for_ever(self) -> None:
        """Expire and tell, as long as anything waits; sleep otherwise."""
        interval_s = self._settings.position_interval_ms / 1000
        while True:
            if not self._room.waiting:
                self._ticker_wake.clear()
                self._ticker_rests = True
                await self._ticker_wake.wait()
                self._ticker_rests = False
            busy_s, began_s = 0.0, time.perf_counter()
            for _ in self.tick(self._now_ms()):
                busy_s += time.perf_counter() - began_s
                await asyncio.sleep(0)
                began_s = time.perf_counter()
            busy_s += time.perf_counter() - began_s
            # Telling 100,000 places takes a while: never more than a tenth of the time.
            await asyncio.sleep(max(interval_s, 9 * busy_s))

    def tick(self, now_ms: int) -> Iterator[None]:
        """End tasks whose time in the queue is up; tell readers what has changed.

        Stops after each part, so that the loop may do something else in between.
        """
        for line in list(self._room):
            for expired in line.queue.expire(now_ms):
                line.moved = True
                self._demand.note()
                self._expire(expired)
        self._table.sweep(now_ms)
        for identity, session_id in self._sessions.expire(now_ms):
            self._cluster.forget_session(f"{identity}/{session_id}")
        yield from self._teller.tell(now_ms)

    def _expire(self, expired: Expired) -> None:
        task = self._table.find(expired.task.task_id)
        if task is None:
            return
        if expired.cause is ExpiredBecause.DEADLINE:
            self._ends.fail(task, errors.deadline_passed("waiting in the queue"))
        else:
            limit_ms = self._settings.queue_max_wait_ms
            self._ends.fail(task, errors.waited_too_long(limit_ms))

    async def shut_down(self, *, grace_ms: int) -> None:
        """End what waits, give what runs its grace, then stop it; returns when all has ended."""
        for task in list(self._table):
            if task.state is TaskState.QUEUED:
                self.stop(task, errors.shutting_down())
        if grace_ms:
            await self._attempts.settled(timeout_s=grace_ms / 1000)
        for task in list(self._table):
            if task.state is TaskState.RUNNING:
                self.stop(task, errors.shutting_down())
        await self._attempts.settled()
        self._attempts.close()


def _pool_name(settings: CoordinatorSettings, key: ReplicaKey) -> str:
    return settings.pool_name(key.pool)
