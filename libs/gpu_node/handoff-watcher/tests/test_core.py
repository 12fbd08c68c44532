from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from handoff_watcher import (
    HandoffAppeared,
    HandoffChanged,
    HandoffMalformed,
    HandoffPayload,
    HandoffVanished,
)
from handoff_watcher.core import FileReading, WatchState, check_invariants, observe, to_adopt

MakePayload = Callable[..., HandoffPayload]


def test_a_new_file_appears_once(make_payload: MakePayload) -> None:
    payload = make_payload()
    state, events = observe(WatchState(), {"a.json": FileReading(payload)})
    assert events == (HandoffAppeared(payload, "a.json"),)
    assert observe(state, {"a.json": FileReading(payload)}) == (state, ())


def test_the_content_names_the_replica_so_a_renamed_file_is_no_event(
    make_payload: MakePayload,
) -> None:
    state, _ = observe(WatchState(), {"a.json": FileReading(make_payload())})
    _, events = observe(state, {"other.json": FileReading(make_payload())})
    assert events == ()


def test_a_half_written_file_changes_nothing_and_is_told_once(make_payload: MakePayload) -> None:
    payload = make_payload()
    state, _ = observe(WatchState(), {"a.json": FileReading(payload)})
    state, events = observe(state, {"a.json": FileReading(None, "EOF at column 3")})
    assert events == (HandoffMalformed("a.json", "EOF at column 3"),)
    state, events = observe(state, {"a.json": FileReading(None, "EOF at column 9")})
    assert events == ()
    assert [standing.payload for standing in state.standing.values()] == [payload]
    changed = make_payload(slots=2)
    state, events = observe(state, {"a.json": FileReading(changed)})
    assert events == (HandoffChanged(changed, payload, "a.json"),)
    _, events = observe(state, {"a.json": FileReading(None, "broken again")})
    assert events == (HandoffMalformed("a.json", "broken again"),)


def test_a_removed_file_makes_its_replica_vanish(make_payload: MakePayload) -> None:
    state, _ = observe(WatchState(), {"a.json": FileReading(make_payload())})
    state, events = observe(state, {})
    assert events == (HandoffVanished(make_payload(), "a.json"),)
    assert state == WatchState()


def test_of_two_files_of_one_replica_the_newest_counts(make_payload: MakePayload) -> None:
    old, new = make_payload(created_ms=1), make_payload(created_ms=2)
    state, events = observe(WatchState(), {"z.json": FileReading(old), "a.json": FileReading(new)})
    assert events == (HandoffAppeared(new, "a.json"),)
    _, events = observe(state, {"z.json": FileReading(old)})
    assert events == (HandoffChanged(old, new, "z.json"),)


def test_a_fresh_file_counts_before_an_adopted_one_even_when_the_clock_went_back(
    make_payload: MakePayload,
) -> None:
    adopted, fresh = make_payload(created_ms=9), make_payload(created_ms=1)
    scan = {"adopted/a.json": FileReading(adopted, adopted=True), "a.json": FileReading(fresh)}
    _, events = observe(WatchState(), scan)
    assert events == (HandoffAppeared(fresh, "a.json"),)


def test_adoption_moves_the_newest_last_and_leaves_malformed_files(
    make_payload: MakePayload,
) -> None:
    scan = {
        "new.json": FileReading(make_payload(created_ms=2)),
        "old.json": FileReading(make_payload(created_ms=1)),
        "half.json": FileReading(None, "EOF"),
        "adopted/default~r1.json": FileReading(make_payload(replica_id="r1"), adopted=True),
    }
    state, _ = observe(WatchState(), scan)
    assert to_adopt(state) == (
        ("old.json", "default~r0.json"),
        ("new.json", "default~r0.json"),
    )


def test_pools_and_replicas_whose_joined_names_are_equal_stay_apart(
    make_payload: MakePayload,
) -> None:
    scan = {
        "1.json": FileReading(make_payload(pool_id="a-b", replica_id="c")),
        "2.json": FileReading(make_payload(pool_id="a", replica_id="b-c")),
    }
    state, events = observe(WatchState(), scan)
    assert len(events) == 2
    assert len({target for _, target in to_adopt(state)}) == 2


def _payload(replica: str, created_ms: int) -> HandoffPayload:
    return HandoffPayload.model_validate(
        {
            "pool_id": "p",
            "replica_id": replica,
            "engine": "llamacpp",
            "engine_version": "b1",
            "url": "http://127.0.0.1:1",
            "slots": 1,
            "pid": 1,
            "ctx_max": 1,
            "model": {"id": "m", "path": "/m", "size_bytes": 1},
            "created_ms": created_ms,
        }
    )


class FolderMachine(RuleBasedStateMachine):
    """Whatever happens to the files, a listener's picture equals the standing handoffs."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, FileReading] = {}
        self.state = WatchState()
        self.picture: dict[tuple[str, str], HandoffPayload] = {}

    @rule(
        target=names,
        name=st.sampled_from(["a.json", "b.json", "c.json"]),
        replica=st.sampled_from(["r0", "r1"]),
        created_ms=st.integers(0, 3),
        adopted=st.booleans(),
    )
    def write(self, name: str, replica: str, created_ms: int, adopted: bool) -> str:
        path = f"adopted/{name}" if adopted else name
        self.files[path] = FileReading(_payload(replica, created_ms), None, adopted)
        return path

    @rule(name=names)
    def damage(self, name: str) -> None:
        if name in self.files:
            self.files[name] = FileReading(None, "half", self.files[name].adopted)

    @rule(name=consumes(names))
    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    @rule()
    def adopt(self) -> None:
        for name, target in to_adopt(self.state):
            if (found := self.files.get(name)) is not None and found.payload is not None:
                del self.files[name]
                self.files[f"adopted/{target}"] = FileReading(found.payload, None, True)

    @rule()
    def scan(self) -> None:
        self.state, events = observe(self.state, dict(self.files))
        for event in events:
            match event:
                case HandoffAppeared(payload=payload):
                    key = (payload.pool_id, payload.replica_id)
                    assert key not in self.picture
                    self.picture[key] = payload
                case HandoffChanged(payload=payload, previous=previous):
                    key = (payload.pool_id, payload.replica_id)
                    assert self.picture[key] == previous
                    self.picture[key] = payload
                case HandoffVanished(payload=payload):
                    del self.picture[(payload.pool_id, payload.replica_id)]

    @invariant()
    def picture_is_true(self) -> None:
        check_invariants(self.state)
        standing = {key: item.payload for key, item in self.state.standing.items()}
        assert self.picture == standing


FolderMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestFolder = FolderMachine.TestCase
