"""The pure core: messages and the time in, an answer and what changed out."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from node_types import NodeId
from pool_registry_types import PoolSnapshot
from service_discovery_types import (
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatResponse,
    PoolReadyCallback,
    PoolReadyResponse,
    RegisterRequest,
    RegisterResponse,
)
from service_registry.events import (
    NodeChanged,
    NodeOffline,
    NodeOnline,
    NodeRemoved,
    NodeReported,
    RegistryEvent,
    SafeModeEntered,
    SafeModeLeft,
)
from service_registry.machine import Stimulus, step
from service_registry.refusals import Departure, why_not_heard, why_not_register
from service_registry.types import (
    LastHeard,
    LeaseState,
    NodeLease,
    RefusalCode,
    Refused,
    RegistryHealth,
    RegistrySettings,
    Report,
    Spoken,
)

REMEMBERED_INCARNATIONS = 8
REMEMBERED_DEPARTURES = 4096

Events: TypeAlias = list[RegistryEvent]


class NodeLeases:
    """All leases; times are milliseconds of one clock that never goes back."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self.heard = HeartbeatResponse(
            success=True, next_heartbeat_ms=settings.heartbeat_interval_ms
        )
        """What a node is told whose heartbeat was taken."""
        self._leases: dict[NodeId, NodeLease] = {}
        self._departed: OrderedDict[NodeId, Departure] = OrderedDict()
        self._safe_mode = False
        self._safe_mode_left_ms = 0

    # messages

    def register(
        self, message: RegisterRequest, now_ms: int
    ) -> tuple[RegisterResponse | Refused, Events]:
        """Give a node a lease, or renew it."""
        refused = self._why_not_register(message)
        if refused is not None:
            return refused, []
        events = self._welcome(message, now_ms)
        response = RegisterResponse(
            success=True,
            message="registered",
            node_id=message.node_id,
            heartbeat_interval_ms=self._settings.heartbeat_interval_ms,
        )
        return response, events

    def heartbeat(self, message: Report, now_ms: int) -> tuple[HeartbeatResponse | Refused, Events]:
        """Renew a lease and take the report."""
        lease = self._lease_for(message)
        if isinstance(lease, Refused):
            return lease, []
        events = self._hear(
            lease,
            message.seq,
            now_ms,
            pools=message.pools,
            models=message.models,
            labels=message.labels,
            reported=True,
        )
        return self.heard, events

    def heartbeat_after(
        self, lease: NodeLease, seq: int, pools: tuple[PoolSnapshot, ...], now_ms: int
    ) -> NodeLease | None:
        """Renew a lease by a heartbeat that says, but for pools, what the one said that made it.

        Returns the lease after it, which is the same where nothing is new, as the event that tells
        of it is `NodeReported` in any case. None, with nothing done, where there is more to it:
        the heartbeat has to be given whole.
        """
        node_id, last = lease.registration.node_id, lease.last
        if (
            node_id not in self._leases
            or self._leases[node_id] is not lease
            or lease.state is not LeaseState.ONLINE
            or seq < last.seq
        ):
            return None
        last.seq, last.at_ms = seq, now_ms
        if pools is not lease.pools:
            lease = self._leases[node_id] = lease._replace(pools=pools)
        return lease

    def pool_ready(
        self, message: PoolReadyCallback, now_ms: int
    ) -> tuple[PoolReadyResponse | Refused, Events]:
        """Renew a lease and take what is said of one pool."""
        lease = self._lease_for(message)
        if isinstance(lease, Refused):
            return lease, []
        others = tuple(pool for pool in lease.pools if pool.pool_id != message.pool.pool_id)
        events = self._hear(lease, message.seq, now_ms, pools=(*others, message.pool))
        return PoolReadyResponse(success=True), events

    def polled(
        self, node: RegisterRequest, pools: Iterable[PoolSnapshot], now_ms: int
    ) -> tuple[Refused | None, Events]:
        """Take what a node has answered when it was asked: a registration and a report in one."""
        refused = self._why_not_register(node)
        if refused is not None:
            return refused, []
        events = self._welcome(node, now_ms)
        events += self._hear(
            self._leases[node.node_id],
            node.seq,
            now_ms,
            pools=tuple(pools),
            models=node.models,
            labels=node.labels,
            reported=True,
            reachable=True,
        )
        return None, events

    def deregister(
        self, message: DeregisterRequest, now_ms: int
    ) -> tuple[DeregisterResponse | Refused, Events]:
        """End a lease at the node's own will; an unknown node is as good as gone."""
        lease = self._lease_for(message)
        if not isinstance(lease, Refused):
            lease.last.seq = message.seq
            events = self._remove(lease, Stimulus.REMOVED, by_own_will=True)
            return DeregisterResponse(success=True), [*events, *self._review_safe_mode(now_ms)]
        if lease.code is RefusalCode.NODE_UNKNOWN:
            return DeregisterResponse(success=False), []
        return lease, []

    # what the control plane finds out or is told by an operator

    def check_stale_nodes(self, now_ms: int) -> Events:
        """Let leases run out and forget those that did long ago; linear, for once a second."""
        settings = self._settings
        expired = []
        for lease in list(self._leases.values()):
            if lease.online and now_ms - lease.heard_ms >= settings.timeout_ms:
                self._move(lease._replace(lost_ms=now_ms), Stimulus.EXPIRED)
                expired.append(lease.node_id)
        safe_mode = self._review_safe_mode(now_ms)
        events: Events = [NodeOffline(self._leases[node_id]) for node_id in expired]
        events += safe_mode
        if not self._safe_mode:
            for lease in list(self._leases.values()):
                if lease.lost_ms is None:
                    continue
                offline_since_ms = max(lease.lost_ms, self._safe_mode_left_ms)
                if now_ms - offline_since_ms >= settings.forget_after_ms:
                    events += self._remove(lease, Stimulus.FORGOTTEN)
        return events

    def remove(self, node_id: NodeId, now_ms: int) -> Events:
        """Forget a node that an operator says is gone; should it live, it registers again."""
        lease = self._leases.get(node_id)
        if lease is None:
            return []
        return [*self._remove(lease, Stimulus.REMOVED), *self._review_safe_mode(now_ms)]

    def set_draining(self, node_id: NodeId, draining: bool) -> Events:
        """Keep new tasks off a node from now on, before it says itself that it drains."""
        return self._change(node_id, drain_asked=draining)

    def report_call_outcome(self, node_id: NodeId, succeeded: bool) -> Events:
        """Note how the last call to a node ended: a node that we cannot reach gets no task."""
        return self._change(node_id, reachable=succeeded)

    # questions

    def get(self, node_id: NodeId) -> NodeLease | None:
        """Look a node up."""
        return self._leases.get(node_id)

    def nodes(self) -> Iterator[NodeLease]:
        """Give every node, by id."""
        return (self._leases[node_id] for node_id in sorted(self._leases))

    @property
    def safe_mode(self) -> bool:
        """Most nodes are silent at once."""
        return self._safe_mode

    def health(self) -> RegistryHealth:
        """Count the nodes."""
        states = Counter(lease.state for lease in self._leases.values())
        online = [lease for lease in self._leases.values() if lease.online]
        return RegistryHealth(
            online=len(online),
            draining=sum(lease.draining for lease in online),
            unreachable=sum(not lease.reachable for lease in online),
            offline=states[LeaseState.OFFLINE],
            suspected=states[LeaseState.SUSPECTED],
            safe_mode=self._safe_mode,
        )

    # what follows from it

    def _why_not_register(self, message: RegisterRequest) -> Refused | None:
        lease, gone = self._leases.get(message.node_id), self._departed.get(message.node_id)
        return why_not_register(message, lease, gone)

    def _welcome(self, message: RegisterRequest, now_ms: int) -> Events:
        before = self._leases.get(message.node_id)
        if before is None:
            gone = self._departed.pop(message.node_id, None)
            superseded = () if gone is None else gone.superseded
            if gone is not None and gone.incarnation != message.incarnation:
                superseded = (*superseded, gone.incarnation)
            lease = NodeLease(
                registration=message,
                last=LastHeard(message.seq, now_ms),
                models=message.models,
                labels=message.labels,
                superseded=superseded[-REMEMBERED_INCARNATIONS:],
            )
            self._leases[message.node_id] = lease
            return [NodeOnline(lease), *self._review_safe_mode(now_ms)]
        lease = before._replace(registration=message, models=message.models, labels=message.labels)
        restarted = message.incarnation != before.incarnation
        if restarted:
            superseded = (*before.superseded, before.incarnation)
            lease = lease._replace(
                reported=False,
                reachable=True,
                superseded=superseded[-REMEMBERED_INCARNATIONS:],
            )
        return self._renew(lease, message.seq, now_ms, Stimulus.REGISTERED, restarted=restarted)

    def _lease_for(self, message: Spoken) -> NodeLease | Refused:
        lease = self._leases.get(message.node_id)
        refused = why_not_heard(message, lease, self._departed.get(message.node_id))
        if refused is not None:
            return refused
        assert lease is not None
        return lease

    def _hear(self, lease: NodeLease, seq: int, now_ms: int, **told: Any) -> Events:
        events = self._renew(lease, seq, now_ms, Stimulus.HEARD, **told)
        events.append(NodeReported(self._leases[lease.node_id]))
        return events

    def _renew(
        self,
        lease: NodeLease,
        seq: int,
        now_ms: int,
        stimulus: Stimulus,
        *,
        restarted: bool = False,
        **told: Any,
    ) -> Events:
        was_online = lease.online
        lease.last.seq, lease.last.at_ms = seq, now_ms
        lease = lease._replace(lost_ms=None, **told)
        lease = self._move(lease, stimulus)
        events: Events = [NodeOnline(lease, restarted)] if restarted or not was_online else []
        return events if was_online else [*events, *self._review_safe_mode(now_ms)]

    def _change(self, node_id: NodeId, **marks: bool) -> Events:
        before = self._leases.get(node_id)
        if before is None:
            return []
        lease = before._replace(**marks)  # type: ignore[arg-type]
        if lease == before:
            return []
        self._leases[node_id] = lease
        return [NodeChanged(lease)]

    def _remove(self, lease: NodeLease, stimulus: Stimulus, *, by_own_will: bool = False) -> Events:
        step(lease.state, stimulus)
        del self._leases[lease.node_id]
        self._departed[lease.node_id] = Departure(
            lease.incarnation, lease.seq, by_own_will, lease.superseded
        )
        if len(self._departed) > REMEMBERED_DEPARTURES:
            self._departed.popitem(last=False)
        return [NodeRemoved(lease)]

    def _move(self, lease: NodeLease, stimulus: Stimulus) -> NodeLease:
        state = step(lease.state, stimulus)
        assert state is not None
        moved = lease if state is lease.state else lease._replace(state=state)
        self._leases[lease.node_id] = moved
        return moved

    # safe mode

    def _review_safe_mode(self, now_ms: int) -> Events:
        """Suspect ourselves while more than half of at least three nodes are gone at once."""
        horizon_ms = now_ms - self._settings.timeout_ms
        lost = [
            lease
            for lease in self._leases.values()
            if lease.state is LeaseState.SUSPECTED
            or (lease.lost_ms is not None and lease.lost_ms >= horizon_ms)
        ]
        members = len(lost) + sum(lease.online for lease in self._leases.values())
        most = members >= self._settings.safe_mode_min_nodes and 2 * len(lost) > members
        if most:
            for lease in lost:
                if lease.state is LeaseState.OFFLINE:
                    self._move(lease, Stimulus.SUSPICION_RAISED)
        if most == self._safe_mode:
            return []
        self._safe_mode = most
        names = tuple(sorted(lease.node_id for lease in lost))
        if most:
            return [SafeModeEntered(names)]
        self._safe_mode_left_ms = now_ms
        for lease in lost:
            if lease.state is LeaseState.SUSPECTED:
                self._move(lease, Stimulus.SUSPICION_ENDED)
        return [SafeModeLeft(names)]

    def check_invariants(self) -> None:
        """Assert what must always hold; linear, for tests."""
        for node_id, lease in self._leases.items():
            assert node_id == lease.node_id
            assert node_id not in self._departed
            assert lease.online == (lease.lost_ms is None)
            assert lease.incarnation not in lease.superseded
            assert self._safe_mode or lease.state is not LeaseState.SUSPECTED
            assert lease.online or not lease.placeable
