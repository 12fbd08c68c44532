import pytest

from service_registry import NodeLeases, RegistrySettings
from service_registry.testing import MadeUpNode


class Fleet:
    """Leases, a clock, and nodes that talk to them; the invariants hold after each step."""

    def __init__(self, settings):
        self.leases = NodeLeases(settings)
        self.now_ms = 1_000_000
        self.events = []

    def say(self, stimulus, *arguments):
        answer, events = stimulus(*arguments, self.now_ms)
        self._note(events)
        return answer

    def find_out(self, stimulus, *arguments):
        self._note(stimulus(*arguments))

    def pass_time(self, by_ms):
        self.now_ms += by_ms
        self.find_out(self.leases.check_stale_nodes, self.now_ms)

    def join(self, *names):
        """Register nodes and let each report once."""
        nodes = [MadeUpNode(name) for name in names]
        for node in nodes:
            self.say(self.leases.register, node.register())
        self.beat(*nodes)
        return nodes if len(nodes) > 1 else nodes[0]

    def beat(self, *nodes):
        return [self.say(self.leases.heartbeat, node.heartbeat()) for node in nodes]

    def told(self):
        """Take the names of the events since the last call."""
        told, self.events = [type(event).__name__ for event in self.events], []
        return told

    def _note(self, events):
        self.events += events
        self.leases.check_invariants()


@pytest.fixture
def settings():
    return RegistrySettings()


@pytest.fixture
def fleet(settings):
    return Fleet(settings)
