"""Whatever nodes, networks, operators and clocks do: what the registry promises holds."""

from copy import deepcopy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service_registry import (
    NodeLeases,
    NodeRemoved,
    NodeReported,
    RefusalCode,
    Refused,
    RegistrySettings,
)
from service_registry.testing import MadeUpNode, pool

SETTINGS = RegistrySettings()
NAMES = ["gpu-a", "gpu-b", "gpu-c", "gpu-d"]
names = st.sampled_from(NAMES)
STIMULI = {
    "RegisterRequest": NodeLeases.register,
    "HeartbeatRequest": NodeLeases.heartbeat,
    "PoolReadyCallback": NodeLeases.pool_ready,
    "DeregisterRequest": NodeLeases.deregister,
}


class Nodes(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.leases = NodeLeases(SETTINGS)
        self.now_ms = 0
        self.nodes = {}
        self.said = []
        self.accepted = {}
        """The newest message of each node that was accepted, and when."""
        self.log = []
        self.events = []

    @initialize()
    def start_all(self):
        for name in NAMES:
            self.nodes[name] = MadeUpNode(name)
            self.say(self.nodes[name].register())

    def do(self, stimulus, *arguments):
        self.log.append((stimulus, arguments))
        outcome = stimulus(self.leases, *arguments)
        answer, events = outcome if isinstance(outcome, tuple) else (None, outcome)
        self.events += events
        return answer, events

    def say(self, message):
        self.said.append(message)
        return self.hear(message)

    def hear(self, message):
        stimulus = STIMULI[type(message).__name__]
        answer, _ = self.do(stimulus, message, self.now_ms)
        if not isinstance(answer, Refused) and answer.success:
            newest = self.accepted.get(message.node_id)
            if newest is not None and newest[0].incarnation == message.incarnation:
                assert message.seq >= newest[0].seq
            self.accepted[message.node_id] = (message, self.now_ms)
        return answer

    @rule(name=names)
    def register(self, name):
        self.say(self.nodes[name].register())

    @rule(name=names, draining=st.booleans())
    def heartbeat(self, name, draining):
        known = self.leases.get(name)
        answer = self.say(self.nodes[name].heartbeat(pool(draining=draining)))
        if known is not None and known.incarnation == self.nodes[name].incarnation:
            assert answer.success

    @rule(name=names, pools=st.sampled_from([None, (pool(),), (pool(draining=True),)]))
    def say_it_again(self, name, pools):
        """A heartbeat of which it is known that nothing but pools is new is like any other."""
        lease = self.leases.get(name)
        if lease is None or not lease.reported:
            return
        message = self.nodes[name].heartbeat(*(pools or lease.pools))
        if message.incarnation == lease.incarnation:
            whole = deepcopy(self.leases)
            answer, events = whole.heartbeat(message, self.now_ms)
            assert lease.online == (events == [NodeReported(whole.get(name))])
            again = deepcopy(self.leases)
            before = again.get(name)
            pools = pools or before.pools
            after = again.heartbeat_after(before, message.seq, pools, self.now_ms)
            assert (after is not None) == lease.online
            assert again.get(name) == (whole.get(name) if lease.online else lease)
            assert again.get(name) is (after or before)
            assert answer == again.heard
            assert again.heartbeat_after(lease, message.seq, pools, self.now_ms) is None
        self.say(message)

    @rule(name=names)
    def call_back(self, name):
        self.say(self.nodes[name].pool_ready(pool()))

    @rule(name=names)
    def poll(self, name):
        message = self.nodes[name].register()
        answer, _ = self.do(NodeLeases.polled, message, (pool(),), self.now_ms)
        if answer is None:
            self.accepted[name] = (message, self.now_ms)

    @rule(name=names)
    def leave(self, name):
        self.say(self.nodes[name].deregister())

    @rule(name=names, elsewhere=st.booleans())
    def restart(self, name, elsewhere):
        address = f"https://{name}.other.example:9200" if elsewhere else None
        self.nodes[name] = self.nodes[name].restarted(address)
        before = self.leases.get(name)
        message = self.nodes[name].register()
        answer = self.say(message)
        taken = before is not None and before.online and before.address != message.address
        if taken:
            assert answer.code is RefusalCode.NODE_ID_CONFLICT
            assert self.leases.get(name) == before
        else:
            assert answer.success

    @rule(data=st.data())
    def a_late_message_changes_nothing(self, data):
        message = data.draw(st.sampled_from(self.said))
        newest, _ = self.accepted.get(message.node_id, (message, 0))
        before = self.leases.get(message.node_id)
        answer = self.hear(message)
        if newest.incarnation == message.incarnation and message.seq < newest.seq:
            assert isinstance(answer, Refused) or not answer.success
            assert self.leases.get(message.node_id) == before

    @rule(by_ms=st.sampled_from([1, 1_000, 9_000, 15_000, 30_000, 700_000]))
    def pass_time(self, by_ms):
        self.now_ms += by_ms
        safe_before = self.leases.safe_mode
        _, events = self.do(NodeLeases.check_stale_nodes, self.now_ms)
        if safe_before and self.leases.safe_mode:
            assert not any(isinstance(event, NodeRemoved) for event in events)

    @rule(name=names, succeeded=st.booleans())
    def call(self, name, succeeded):
        self.do(NodeLeases.report_call_outcome, name, succeeded)

    @rule(name=names, draining=st.booleans())
    def drain(self, name, draining):
        self.do(NodeLeases.set_draining, name, draining)

    @rule(name=names)
    def operator_removes(self, name):
        self.do(NodeLeases.remove, name, self.now_ms)
        assert self.leases.get(name) is None

    @invariant()
    def the_leases_are_consistent(self):
        self.leases.check_invariants()

    @invariant()
    def a_node_is_online_only_if_it_was_heard_within_the_timeout(self):
        for lease in self.leases.nodes():
            _, heard_ms = self.accepted[lease.node_id]
            assert lease.heard_ms == heard_ms
            if self.log[-1][0] is NodeLeases.check_stale_nodes:
                assert lease.online == (self.now_ms - heard_ms < SETTINGS.timeout_ms)

    @invariant()
    def the_events_tell_the_same_story_as_the_leases(self):
        told = {}
        for event in self.events:
            if hasattr(event, "node"):
                told[event.node.node_id] = None if isinstance(event, NodeRemoved) else event.node
        known = {lease.node_id: lease for lease in self.leases.nodes()}
        assert {name for name, node in told.items() if node is not None} == set(known)
        for name, lease in known.items():
            assert told[name].placeable == lease.placeable

    def teardown(self):
        again = NodeLeases(SETTINGS)
        events = []
        for stimulus, arguments in self.log:
            outcome = stimulus(again, *arguments)
            events += outcome[1] if isinstance(outcome, tuple) else outcome
        assert events == self.events
        assert list(again.nodes()) == list(self.leases.nodes())


TestNodes = Nodes.TestCase
TestNodes.settings = settings(max_examples=60, stateful_step_count=40)
