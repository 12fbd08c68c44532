"""Where a task is likely to be done first, one sentence at a time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_node_placement import ClusterView, Measured, PrefixScorer, Work, blocks_of
from multi_node_placement.prompts import BLOCK_CHARS, MAX_BLOCKS
from multi_node_placement.testing import pool_report
from orchestrator_core import Constraint, Refusal

ANY = Constraint(model_id="m")
PROMPT = "a long prefix, again and again; " * 100
OTHER = "something else entirely, as long; " * 100
TOOK = Measured(
    chars=len(PROMPT),
    tokens_in=len(PROMPT) // 4,
    tokens_cached=0,
    tokens_out=100,
    prefill_s=2.0,
    decode_s=1.0,
)


def work(text: str = PROMPT, **given) -> Work:
    return Work(**{"model_id": "m", "chars": len(text), "blocks": blocks_of(text), **given})


@pytest.fixture
def view() -> ClusterView:
    view = ClusterView(scorer=PrefixScorer())
    for node in ("a", "b", "c"):
        view.apply_report(node, [pool_report(slots=2)])
    return view


def run(view: ClusterView, text: str = PROMPT, took: Measured = TOOK) -> str:
    """Have a task run from its placement to its end; its node."""
    held = view.reserve(view.decide(ANY, work=work(text)), work=work(text))
    view.prompt_read(held)
    view.finished(held, work(text), took)
    view.release(held)
    return held.key.node_id


def place(view: ClusterView, text: str = PROMPT, **given) -> str:
    chosen = view.decide(ANY, work=work(text, **given)).chosen
    assert chosen is not None
    return chosen.key.node_id


def occupy(view: ClusterView, node: str, text: str = OTHER):
    only = Constraint(model_id="m", node_id=node)
    return view.reserve(view.decide(only, work=work(text)), work=work(text))


def test_without_measurements_the_least_loaded_comes_first(view) -> None:
    occupy(view, "a")
    assert place(view) == "b"


def test_a_prompt_goes_where_its_prefix_was_read(view) -> None:
    view.release(occupy(view, "b", OTHER))
    assert run(view, PROMPT) == "a"
    only_b = Constraint(model_id="m", node_id="b")
    held = view.reserve(view.decide(only_b, work=work(OTHER)), work=work(OTHER))
    view.release(held)
    assert place(view, PROMPT + " and a new end") == "a"
    assert place(view, OTHER + " and a new end") == "b"
    assert place(view, "a prompt that nobody knows " * 50) == "a"


def test_every_candidate_says_what_was_estimated(view) -> None:
    run(view)
    candidates = view.decide(ANY, work=work(tokens_out=50)).candidates()
    warm, *cold = candidates
    assert (warm.key.node_id, warm.refused) == ("a", None)
    assert warm.estimate.prefill_s == pytest.approx(2.0 * (len(PROMPT) % BLOCK_CHARS) / len(PROMPT))
    assert warm.estimate.decode_s == pytest.approx(0.5)
    for other in cold:
        assert other.refused is Refusal.NOT_FIRST
        assert other.estimate.prefill_s == pytest.approx(2.0)
        assert other.estimate.total_s == pytest.approx(2.5)


def test_a_warm_replica_that_would_take_longer_is_passed_over(view) -> None:
    run(view)
    occupy(view, "a", "unread " * 1_000)
    assert place(view) == "b", "what it has to read first takes longer than reading this elsewhere"


def test_what_has_been_read_keeps_nobody_away_any_more(view) -> None:
    run(view)
    held = occupy(view, "a", "unread " * 1_000)
    view.prompt_read(held)
    assert place(view) == "a"


def test_a_task_never_waits_for_a_warm_replica(view) -> None:
    run(view)
    for held in (occupy(view, "a"), occupy(view, "a")):
        view.prompt_read(held)
    assert place(view) == "b"


@pytest.mark.parametrize("change", [{"pid": 8}, {"generation": 2}])
def test_a_new_engine_process_is_cold(view, change) -> None:
    def report(**told):
        pool = pool_report(slots=2)
        replicas = tuple(each.model_copy(update=told) for each in pool.replicas)
        view.apply_report("c", [pool.model_copy(update={"replicas": replicas})])

    report(pid=7)
    only_c = Constraint(model_id="m", node_id="c")
    held = view.reserve(view.decide(only_c, work=work()), work=work())
    view.finished(held, work(), TOOK)
    view.release(held)
    assert place(view) == "c"
    report(pid=7)
    assert place(view) == "c"
    report(**{"pid": 7, **change})
    assert place(view) == "a"


def test_a_task_that_ends_after_its_engine_was_replaced_warms_nothing(view) -> None:
    held = occupy(view, "c", PROMPT)
    view.apply_report("c", [pool_report(slots=2, generation=2)])
    view.finished(held, work(), TOOK)
    view.release(held)
    assert place(view) == "a"


def test_a_node_that_has_left_and_come_back_is_cold(view) -> None:
    run(view)
    view.remove_node("a")
    view.apply_report("a", [pool_report(slots=2)])
    occupy(view, "a", "x")
    assert place(view) == "b"


def test_a_task_that_does_not_use_the_cache_is_read_anew_anywhere(view) -> None:
    run(view)
    estimates = view.decide(ANY, work=work(reuses=False)).estimates
    assert len({estimate.prefill_s for estimate in estimates.values()}) == 1


def test_a_replica_without_a_prompt_cache_is_never_warm() -> None:
    view = ClusterView(scorer=PrefixScorer())
    for node in ("a", "b"):
        view.apply_report(node, [pool_report(slots=2, prompt_cache=False)])
    assert run(view) == "a"
    occupy(view, "a", "x")
    assert place(view) == "b"


def test_a_machine_that_takes_much_longer_is_found_out(view) -> None:
    run(view)
    only_b = Constraint(model_id="m", node_id="b")
    for _ in range(3):
        held = view.reserve(view.decide(only_b, work=work()), work=work())
        view.finished(held, work(), replace(TOOK, prefill_s=20.0, decode_s=10.0))
        view.release(held)
    estimates = view.decide(ANY, work=work(OTHER)).estimates
    by_node = {key.node_id: estimate.total_s for key, estimate in estimates.items()}
    assert by_node["b"] > 1.5 * by_node["c"]


def test_more_company_never_looks_quicker(view) -> None:
    run(view, took=replace(TOOK, decode_s=4.0))
    held = occupy(view, "a", OTHER)
    view.prompt_read(held)
    run(view, took=replace(TOOK, decode_s=1.0))
    estimates = view.decide(ANY, work=work("nobody knows this " * 50)).estimates
    by_node = {key.node_id: estimate.decode_s for key, estimate in estimates.items()}
    assert by_node["a"] >= by_node["b"]


def test_an_answer_is_taken_to_be_as_long_as_usual_or_as_it_may_be(view) -> None:
    run(view)
    for at_most, expected_s in {None: 1.0, 10: 0.1, 9_000: 1.0}.items():
        estimate, *_ = view.decide(ANY, work=work(max_tokens=at_most)).estimates.values()
        assert estimate.decode_s == pytest.approx(expected_s)


def test_one_slow_task_makes_no_slow_machine(view) -> None:
    run(view)
    held = occupy(view, "b", OTHER)
    view.finished(held, work(OTHER), replace(TOOK, tokens_out=1, prefill_s=0.0, decode_s=0.1))
    view.release(held)
    estimates = view.decide(ANY, work=work("nobody knows this " * 50)).estimates
    assert len({estimate.total_s for estimate in estimates.values()}) == 1


def test_a_replica_remembers_no_more_than_its_slots_can_hold() -> None:
    scorer = PrefixScorer()
    view = ClusterView(scorer=scorer)
    view.apply_report("a", [pool_report(slots=1)])
    took = replace(TOOK, chars=4_096, tokens_in=1_024)
    for number in range(50):
        run(view, f"{number:04}" * 1_024, took)
    # Four characters a token, 4,096 tokens of context.
    assert len(scorer.prefixes) == 4 * 4_096 // BLOCK_CHARS


def test_the_tail_of_an_endless_prompt_is_not_looked_at() -> None:
    assert len(blocks_of("x" * 10 * MAX_BLOCKS * BLOCK_CHARS)) == MAX_BLOCKS
    assert blocks_of("x" * (BLOCK_CHARS - 1)) == ()


@given(st.text(max_size=1_000), st.text(max_size=1_000), st.text(max_size=1_000))
def test_prompts_share_as_many_blocks_as_they_have_in_common(common, one, other) -> None:
    first, second = blocks_of(common + one), blocks_of(common + other)
    least = len(common) // BLOCK_CHARS
    assert first[:least] == second[:least]
    for at, (left, right) in enumerate(zip(first, second, strict=False), 1):
        same = (common + one)[: at * BLOCK_CHARS] == (common + other)[: at * BLOCK_CHARS]
        assert (left == right) == same
