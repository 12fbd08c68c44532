"""The index of prefixes against a plain model of it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from multi_node_placement.prefixes import PrefixIndex
from orchestrator_core import ReplicaKey

KEYS = [ReplicaKey("n", "p", f"r{number}") for number in range(4)]
LIMIT = 12

texts = st.text("ab", max_size=6)
keys = st.sampled_from(KEYS)


def blocks(text: str) -> list[int]:
    """Give a block for each letter, named by all that comes before it."""
    return [hash(text[: end + 1]) for end in range(len(text))]


class PrefixMachine(RuleBasedStateMachine):
    """Replicas are given prompts; what each holds is modelled as lists in the order of use."""

    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex(LIMIT)
        self.held: dict[ReplicaKey, list[int]] = {}

    @rule(key=keys, text=texts, room=st.integers(1, 8))
    def remember(self, key: ReplicaKey, text: str, room: int) -> None:
        if not text:
            return
        told = blocks(text)
        self.index.remember(key, told, room=room)
        held = self.held.pop(key, [])
        for block in reversed(told[:room]):
            held = [known for known in held if known != block] + [block]
        self.held[key] = held[max(0, len(held) - room) :]
        for oldest in list(self.held):
            while sum(map(len, self.held.values())) > LIMIT and self.held[oldest]:
                self.held[oldest].pop(0)
        self.held = {key: held for key, held in self.held.items() if held}

    @rule(key=keys)
    def forget(self, key: ReplicaKey) -> None:
        self.index.forget(key)
        self.held.pop(key, None)

    @rule(text=texts, limit=st.integers(1, 5))
    def ask(self, text: str, limit: int) -> None:
        told = blocks(text)
        depths = {key: self.depth(key, told) for key in KEYS}
        assert {key: self.index.depth(key, told) for key in KEYS} == depths
        warm = sorted((depth for depth in depths.values() if depth), reverse=True)
        found = self.index.warmest(told, limit)
        assert list(found.values()) == warm[:limit]
        assert all(depths[key] == depth for key, depth in found.items())

    def depth(self, key: ReplicaKey, told: list[int]) -> int:
        missing = [at for at, block in enumerate(told) if block not in self.held.get(key, [])]
        return missing[0] if missing else len(told)

    @invariant()
    def both_directions_agree_and_the_bound_is_kept(self) -> None:
        self.index.check_invariants()
        assert len(self.index) == sum(map(len, self.held.values()))


def test_the_index_holds_what_was_used_last_within_its_bounds() -> None:
    run_state_machine_as_test(
        PrefixMachine, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
    )
