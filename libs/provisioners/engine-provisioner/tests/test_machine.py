"""The machine alone: fake clock, no process."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine_provisioner.machine import (
    STATES,
    TABLE,
    AdoptAsked,
    After,
    DeadlinePassed,
    Engine,
    EngineState,
    Exited,
    Healthy,
    Instruction,
    Limits,
    LoadBegan,
    Mismatched,
    Progressed,
    ReplaceAsked,
    StartAsked,
    StopAsked,
    Unhealthy,
    backoff_ms,
    check_invariants,
    step,
)

LIMITS = Limits()
FRESH = Engine()


def run(*stimuli, engine=FRESH, now_ms=0):
    done = []
    for stimulus in stimuli:
        engine, instructions = step(LIMITS, engine, stimulus, now_ms=now_ms)
        check_invariants(engine, now_ms)
        done += instructions
    return engine, done


def test_a_start_leads_to_a_handoff():
    engine, done = run(StartAsked(), LoadBegan(), Healthy())
    assert engine.state is EngineState.READY
    assert done == [Instruction.SPAWN, Instruction.ANNOUNCE]


def test_a_death_withdraws_the_handoff_before_anything_else():
    engine, done = run(StartAsked(), LoadBegan(), Healthy(), Exited("gone"))
    assert engine.state is EngineState.BACKOFF
    assert engine.last_error == "gone"
    assert done[-1] is Instruction.WITHDRAW


def test_an_adopted_engine_is_not_loaded_again():
    engine, done = run(AdoptAsked(), Healthy())
    assert engine.state is EngineState.READY
    assert done == [Instruction.ANNOUNCE]


def test_an_orphan_that_does_not_answer_is_stopped_and_a_new_engine_started():
    engine, _ = run(AdoptAsked(), Unhealthy("silent"))
    engine, done = run(DeadlinePassed(), DeadlinePassed(), Exited("killed"), engine=engine)
    assert engine.state is EngineState.STARTING
    assert done == [
        Instruction.WITHDRAW,
        Instruction.TERMINATE,
        Instruction.KILL,
        Instruction.SPAWN,
    ]


def test_an_engine_with_another_configuration_is_replaced_without_counting_as_a_failure():
    engine, done = run(ReplaceAsked("slots 2 instead of 4"), Exited("stopped"))
    assert engine.state is EngineState.STARTING
    assert engine.failures == 0
    assert done == [Instruction.WITHDRAW, Instruction.TERMINATE, Instruction.SPAWN]


def test_a_hanging_engine_is_not_ready_at_once_and_killed_at_its_deadline():
    engine, done = run(StartAsked(), LoadBegan(), Healthy(), Unhealthy("no answer"))
    assert engine.state is EngineState.UNRESPONSIVE
    assert done[-1] is Instruction.WITHDRAW
    recovered, _ = run(Healthy(), engine=engine)
    assert recovered.state is EngineState.READY
    killed, done = run(DeadlinePassed(), engine=engine)
    assert killed.state is EngineState.KILLING
    assert killed.last_error == "the engine hangs"
    assert done == [Instruction.KILL]


def test_progress_moves_the_deadline_of_a_load_but_not_for_ever():
    engine, _ = run(StartAsked(), LoadBegan())
    first = engine.deadline_ms
    engine, _ = step(LIMITS, engine, Progressed(), now_ms=10_000)
    assert engine.deadline_ms == first + 10_000
    engine, _ = step(LIMITS, engine, Progressed(), now_ms=LIMITS.load_ms - 1)
    assert engine.deadline_ms == LIMITS.load_ms


def test_a_large_model_gets_more_time():
    large = LIMITS.for_model(50_000_000_000)
    assert large.load_stall_ms == LIMITS.load_stall_ms + 1_000_000
    # A load that gets on is not cut off before such a disk can have brought the file.
    assert large.load_ms - LIMITS.load_ms >= 1_000_000


def test_a_container_runtime_gets_its_time_on_top_and_no_limit_shrinks():
    container = LIMITS.for_container()
    assert container.stop_ms > LIMITS.stop_ms
    assert container.start_ms > LIMITS.start_ms
    assert container.kill_ms == LIMITS.kill_ms


def test_the_pause_doubles_up_to_its_cap_and_is_jittered_by_half():
    pauses = [backoff_ms(LIMITS, failures, 1.0) for failures in range(1, 12)]
    assert pauses[:3] == [250, 500, 1000]
    assert pauses[-1] == LIMITS.backoff_cap_ms
    assert backoff_ms(LIMITS, 3, 0.0) == 500


def test_a_storm_of_failures_opens_the_breaker_and_one_more_try_comes_later():
    engine, _ = run(StartAsked())
    for _ in range(LIMITS.storm_failures - 1):
        engine, _ = run(Exited("crash"), engine=engine)
        assert engine.state is EngineState.BACKOFF
        engine, _ = run(DeadlinePassed(), engine=engine)
    engine, _ = run(Exited("crash"), engine=engine)
    assert engine.state is EngineState.FAILED
    assert engine.deadline_ms == LIMITS.storm_pause_ms
    engine, done = run(DeadlinePassed(), engine=engine)
    assert done == [Instruction.SPAWN]


def test_an_engine_that_served_long_enough_has_a_clean_record():
    engine, _ = run(StartAsked(), LoadBegan(), Healthy())
    engine = replace(engine, failures=5)
    engine, _ = step(LIMITS, engine, Exited("crash"), now_ms=LIMITS.stable_ms)
    assert (engine.state, engine.failures) == (EngineState.BACKOFF, 1)


def test_a_model_that_cannot_be_loaded_fails_at_once():
    engine, _ = run(StartAsked(), LoadBegan(), Exited("not a model", fatal=True))
    assert engine.state is EngineState.FAILED


def test_every_state_with_a_deadline_has_a_forced_exit():
    for state, row in STATES.items():
        assert ((state, DeadlinePassed) in TABLE) == (row.deadline is not None), state


def test_every_state_can_be_left_by_a_stop_or_stops_already():
    ending = {EngineState.STOPPED, EngineState.STOPPING, EngineState.KILLING}
    for state in set(EngineState) - ending:
        assert (state, StopAsked) in TABLE, state
    for state in (EngineState.STOPPING, EngineState.KILLING):
        assert TABLE[state, Exited].to is After.EXIT


class EngineLife(RuleBasedStateMachine):
    """Any sequence of stimuli at any time; the shell's timer always fires at a deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine()
        self.now_ms = 0
        self.log = []
        self.announced = False
        self.processes = 0

    def feed(self, stimulus, jitter_ratio=0.0):
        self.log.append((stimulus, self.now_ms, jitter_ratio))
        before = self.engine
        if isinstance(stimulus, Exited):
            self.processes = 0
        self.engine, done = step(
            LIMITS, before, stimulus, now_ms=self.now_ms, jitter_ratio=jitter_ratio
        )
        if isinstance(stimulus, AdoptAsked | ReplaceAsked) and before is not self.engine:
            self.processes = 1
        for instruction in done:
            match instruction:
                case Instruction.ANNOUNCE:
                    self.announced = True
                case Instruction.WITHDRAW:
                    self.announced = False
                case Instruction.SPAWN:
                    assert before.state is not self.engine.state
                    self.processes += 1

    @rule(ms=st.integers(0, 100_000), jitter=st.floats(0, 1))
    def time_passes(self, ms, jitter):
        end = self.now_ms + ms
        for _ in range(10_000):
            deadline = self.engine.deadline_ms
            if deadline is None or deadline > end:
                break
            self.now_ms = max(self.now_ms, deadline)
            before = self.engine
            self.feed(DeadlinePassed(), jitter)
            assert self.engine != before, f"{before.state} stays beyond its deadline"
        self.now_ms = end

    @precondition(lambda self: self.engine.state is EngineState.STOPPED)
    @rule(stimulus=st.sampled_from([StartAsked(), AdoptAsked(), ReplaceAsked("changed")]))
    def start(self, stimulus):
        self.feed(stimulus)

    @precondition(lambda self: self.engine.state is not EngineState.STOPPED)
    @rule()
    def start_again(self):
        self.feed(StartAsked())

    @rule()
    def stop(self):
        self.feed(StopAsked())

    @rule(
        stimulus=st.sampled_from(
            [LoadBegan(), Progressed(), Healthy(), Unhealthy("slow"), Mismatched("other")]
        )
    )
    def report(self, stimulus):
        self.feed(stimulus)

    @precondition(lambda self: self.processes)
    @rule(fatal=st.booleans(), jitter=st.floats(0, 1))
    def exit(self, fatal, jitter):
        self.feed(Exited("ended", fatal), jitter)

    @invariant()
    def state_is_sound(self):
        check_invariants(self.engine, self.now_ms)

    @invariant()
    def only_a_ready_engine_is_announced(self):
        assert self.announced == (self.engine.state is EngineState.READY)

    def teardown(self):
        engine = Engine()
        for stimulus, now_ms, jitter_ratio in self.log:
            engine, _ = step(LIMITS, engine, stimulus, now_ms=now_ms, jitter_ratio=jitter_ratio)
        assert engine == self.engine, "the same events give the same engine"


TestEngineLife = EngineLife.TestCase
TestEngineLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("state", list(EngineState))
def test_states_are_named_in_the_table_of_owners(state):
    assert STATES[state].owner
