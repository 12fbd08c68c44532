"""The change of a model as a machine: fake clock, no engine."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from local_pool_manager.changeover import (
    FINAL,
    PHASES,
    TABLE,
    WITHDRAWN,
    Act,
    ChangeLimits,
    Committed,
    DeadlinePassed,
    Drained,
    Failed,
    Phase,
    Planned,
    Ready,
    Released,
    Stopped,
    Withdrawn,
    begin,
    check_invariants,
    step,
)

LIMITS = ChangeLimits()
RESULTS = {
    Act.PLAN: [Planned(beside=True), Planned(beside=False), Failed("no plan")],
    Act.START_NEW: [Ready(), Failed("it crashed")],
    Act.COMMIT: [Committed(), Failed("disk full")],
    Act.KEEP_OLD: [Ready(), Failed("disk full")],
    Act.DRAIN_OLD: [Drained()],
    Act.REVOKE_OLD: [Drained()],
    Act.STOP_OLD: [Stopped()],
    Act.AWAIT_MEMORY: [Released()],
    Act.STOP_NEW: [Stopped()],
    Act.START_OLD: [Ready(), Failed("gone")],
}
"""What each act can come to, besides taking too long."""


def run(*stimuli, old="a", new="b"):
    change, act = begin(LIMITS, old=old, new=new, now_ms=0)
    acts = [act]
    for stimulus in stimuli:
        change, act = step(LIMITS, change, stimulus, now_ms=0)
        check_invariants(change, 0)
        acts.append(act)
    return change, [act for act in acts if act]


def test_where_memory_holds_both_the_old_engine_goes_last():
    change, acts = run(Planned(beside=True), Ready(), Committed(), Drained(), Stopped())
    assert change.phase is Phase.DONE
    assert acts == [Act.PLAN, Act.START_NEW, Act.COMMIT, Act.DRAIN_OLD, Act.STOP_OLD]


def test_where_it_does_not_the_old_engine_goes_first():
    change, acts = run(
        Planned(beside=False), Drained(), Stopped(), Released(), Ready(), Committed()
    )
    assert change.phase is Phase.DONE
    assert acts[1:4] == [Act.DRAIN_OLD, Act.STOP_OLD, Act.AWAIT_MEMORY]


def test_a_failure_beside_the_old_engine_leaves_it_and_one_after_it_brings_it_back():
    change, acts = run(Planned(beside=True), Failed("bad"), Stopped(), Ready())
    assert (change.phase, change.error, acts[-1]) == (Phase.ROLLED_BACK, "bad", Act.KEEP_OLD)
    change, acts = run(
        *(Planned(beside=False), Drained(), Stopped(), Released(), Failed("bad")),
        *(Stopped(), Ready()),
    )
    assert (change.phase, change.error, acts[-1]) == (Phase.ROLLED_BACK, "bad", Act.START_OLD)


def test_when_the_old_model_does_not_come_back_either_both_reasons_are_told():
    change, _ = run(
        *(Planned(beside=False), Drained(), Stopped(), Released(), Failed("bad")),
        *(Stopped(), Failed("gone too")),
    )
    assert change.error == "bad; and of the old model 'a': gone too"


def test_leases_that_do_not_end_are_revoked_and_then_not_waited_for():
    change, acts = run(Planned(beside=False), DeadlinePassed(), DeadlinePassed())
    assert change.phase is Phase.STOPPING
    assert acts[-2:] == [Act.REVOKE_OLD, Act.STOP_OLD]


def test_without_an_old_model_nothing_is_drained_and_nothing_brought_back():
    change, acts = run(Planned(beside=True), Failed("bad"), Stopped(), old=None)
    assert change.phase is Phase.ROLLED_BACK
    assert acts == [Act.PLAN, Act.START_NEW, Act.STOP_NEW]


def test_a_change_that_nobody_waits_for_any_more_is_given_up_before_anything_stops():
    change, acts = run(Planned(beside=False), Withdrawn())
    assert (change.phase, change.error) == (Phase.ROLLED_BACK, WITHDRAWN)
    assert acts == [Act.PLAN, Act.DRAIN_OLD]


def test_an_unload_ends_when_the_memory_is_free():
    change, acts = run(Drained(), Stopped(), Released(), new=None)
    assert change.phase is Phase.DONE
    assert acts == [Act.DRAIN_OLD, Act.STOP_OLD, Act.AWAIT_MEMORY]


@given(st.data(), st.sampled_from(["a", None]), st.sampled_from(["b", None]))
def test_whatever_happens_a_change_ends_and_no_phase_outlives_its_deadline(data, old, new):
    now_ms = 0
    change, act = begin(LIMITS, old=old, new=new, now_ms=now_ms)
    steps = 0
    while act is not None:
        check_invariants(change, now_ms)
        assert change.deadline_ms is not None
        vain = [Withdrawn()] if change.phase is Phase.DRAINING else []
        stimulus = data.draw(st.sampled_from([*RESULTS[act], *vain, DeadlinePassed()]))
        late = isinstance(stimulus, DeadlinePassed)
        now_ms = change.deadline_ms if late else data.draw(st.integers(now_ms, change.deadline_ms))
        change, act = step(LIMITS, change, stimulus, now_ms=now_ms)
        steps += 1
        assert steps <= len(Phase)
    check_invariants(change, now_ms)
    assert change.phase in FINAL


def test_every_phase_that_is_not_final_has_an_owner_a_deadline_and_a_forced_exit():
    assert set(PHASES) == set(Phase)
    for phase, row in PHASES.items():
        assert row.owner
        assert (row.deadline is None) is (phase in FINAL)
        assert ((phase, DeadlinePassed) in TABLE) is (phase not in FINAL)


def phase_rows() -> str:
    """Draw the README's table of phases from the machine."""
    lines = []
    for phase, row in PHASES.items():
        if phase in FINAL:
            continue
        steps = [
            f"{stimulus.__name__} → "
            + " or ".join(
                dict.fromkeys(
                    each.to.value for each in (rule, rule.unless_beside) if each is not None
                )
            )
            for (at, stimulus), rule in TABLE.items()
            if at is phase
        ]
        lines.append(
            f"| {phase.value} | {row.owner} | {row.deadline or 'none'} | {', '.join(steps)} |"
        )
    return "\n".join(lines) + "\n"


def test_the_table_of_phases_is_drawn_from_the_machine():
    readme = Path(__file__).parents[1] / "README.md"
    assert phase_rows() in readme.read_text(encoding="utf-8")
