"""Who gets the memory of a swapping pool: the planner alone, with time as data."""

from hypothesis import given
from hypothesis import strategies as st

from local_pool_manager.swap import Demand, Residence, Stay, SwapRules, SwapTo, Unload, decide
from local_pool_manager.turns import Turns

RULES = SwapRules(min_residency_ms=5_000, max_wait_ms=30_000)
BOTH = ("a", "b")


def loaded(model_id="a", *, since_ms=0, last_used_ms=0, active_leases=0):
    return Residence(model_id, since_ms, last_used_ms, active_leases)


def decided(resident, demand, *, now_ms=100_000, rules=RULES, loadable=BOTH):
    wishes = {model_id: Demand(*wish) for model_id, wish in demand.items()}
    return decide(rules, resident, wishes, loadable=loadable, now_ms=now_ms)


def test_an_empty_pool_loads_what_has_waited_longest():
    assert decided(None, {"a": (9, 10), "b": (1, 20)}).model_id == "b"


def test_an_idle_model_makes_room_at_once_but_not_before_its_minimum_residency():
    assert decided(loaded(), {"b": (1, 0)}) == SwapTo("b", "1 tasks wait for it; 'a' is idle")
    fresh = decided(loaded(since_ms=99_000), {"b": (1, 0)})
    assert isinstance(fresh, Stay)
    assert fresh.again_ms == 4_000


def test_a_model_in_use_stays_until_the_other_one_has_waited_for_the_bound():
    for resident, demand in (
        (loaded(active_leases=1), {"b": (1, 10_000)}),
        (loaded(), {"a": (5, 0), "b": (1, 10_000)}),
    ):
        assert decided(resident, demand).again_ms == 20_000
    assert isinstance(decided(loaded(), {"a": (5, 0), "b": (1, 30_000)}), SwapTo)


def test_a_model_that_cannot_be_loaded_moves_nothing():
    assert decided(loaded(), {"c": (9, 90_000)}) == Stay(None, "nothing else is asked for")


def test_an_unused_model_is_unloaded_after_its_time_and_a_used_one_is_not():
    rules = SwapRules(idle_unload_ms=60_000)
    assert decided(loaded(last_used_ms=70_000), {}, rules=rules).again_ms == 30_000
    assert isinstance(decided(loaded(last_used_ms=40_000), {}, rules=rules), Unload)
    assert decided(loaded(active_leases=1), {}, rules=rules).again_ms is None
    assert decided(loaded(), {"a": (1, 0)}, rules=rules).again_ms is None


def test_a_model_that_failed_rests_longer_each_time():
    turns = Turns(RULES)
    turns.tell({"b": Demand(1, 0)}, now_ms=0)
    catalog = {"a": "file:a", "b": "file:b"}
    pauses = []
    for _ in range(3):
        turns.failed("b", "it crashed", now_ms=0)
        stay = turns.decide(None, catalog, now_ms=0)
        pauses.append(stay.again_ms)
        assert isinstance(turns.decide(None, catalog, now_ms=stay.again_ms), SwapTo)
    assert pauses == [1_000, 2_000, 4_000]
    turns.succeeded("b")
    assert isinstance(turns.decide(None, catalog, now_ms=0), SwapTo)


def test_what_was_told_grows_older_by_itself():
    turns = Turns(RULES)
    turns.tell({"a": Demand(1, 0), "b": Demand(1, 10_000)}, now_ms=1_000)
    stay = turns.decide(loaded(), {"a": "", "b": ""}, now_ms=6_000)
    assert stay.again_ms == 15_000


def test_what_several_tell_adds_up_and_is_forgotten_when_it_is_not_told_again():
    turns = Turns(RULES)
    turns.tell({"b": Demand(2, 0)}, 0, source="one", valid_ms=1_000)
    turns.tell({"b": Demand(1, 500), "c": Demand(1, 0)}, 0, source="two")
    assert turns.demand(100) == {"b": Demand(3, 600), "c": Demand(1, 100)}
    assert turns.demand(1_000) == {"b": Demand(1, 1_500), "c": Demand(1, 1_000)}
    turns.tell({}, 1_000, source="two")
    assert turns.demand(1_000) == {}


def test_the_bound_of_whoever_waits_holds():
    turns = Turns(RULES)
    turns.tell({"a": Demand(1, 0), "b": Demand(1, 900)}, 9_000, source="x", max_wait_ms=1_000)
    assert turns.decide(loaded(), {"a": "", "b": ""}, now_ms=9_000).again_ms == 100


def test_bad_luck_is_tried_again_before_tasks_are_told():
    turns = Turns(RULES)
    turns.failed("b", "killed", 0, transient=True)
    assert turns.resting(0)["b"].transient
    turns.failed("b", "killed again", 1_000, transient=True)
    assert not turns.resting(1_000)["b"].transient
    turns.succeeded("b")
    assert turns.resting(1_000) == {}


def test_the_model_that_comes_next_is_the_one_that_has_waited_longest():
    turns = Turns(RULES)
    turns.tell({"a": Demand(9, 99), "b": Demand(1, 10), "c": Demand(1, 20)}, 0)
    catalog = dict.fromkeys("abc", "")
    assert turns.next_model("a", catalog, 0) == "c"
    turns.failed("c", "it crashed", 0)
    assert turns.next_model("a", catalog, 0) == "b"
    assert turns.next_model("b", {"b": ""}, 0) is None


def test_a_model_in_use_stays_at_least_as_long_as_its_load_took():
    slow = Residence("a", since_ms=95_000, last_used_ms=0, active_leases=1, load_ms=20_000)
    assert decided(slow, {"b": (1, 90_000)}).again_ms == 15_000
    idle = Residence("a", since_ms=95_000, last_used_ms=0, active_leases=0, load_ms=20_000)
    assert isinstance(decided(idle, {"b": (1, 0)}), SwapTo)


ids = st.sampled_from(["a", "b", "c"])
wishes = st.dictionaries(
    ids, st.builds(Demand, waiting=st.integers(0, 5), oldest_ms=st.integers(0, 90_000))
)
residents = st.none() | st.builds(
    Residence,
    ids,
    since_ms=st.integers(0, 100_000),
    last_used_ms=st.integers(0, 100_000),
    active_leases=st.integers(0, 3),
)


@given(residents, wishes, st.sets(ids), st.none() | st.integers(0, 90_000))
def test_no_decision_breaks_a_rule(resident, demand, loadable, idle_unload_ms):
    rules = SwapRules(idle_unload_ms=idle_unload_ms)
    match decide(rules, resident, demand, loadable=loadable, now_ms=100_000):
        case SwapTo(model_id):
            assert model_id in loadable
            assert demand[model_id].waiting
            if resident is not None:
                assert model_id != resident.model_id
                assert 100_000 - resident.since_ms >= rules.min_residency_ms
                if resident.active_leases:
                    assert demand[model_id].oldest_ms >= rules.max_wait_ms
        case Unload():
            assert resident.active_leases == 0
        case Stay(again_ms):
            # Whoever waits for something loadable is not forgotten.
            others = [
                model_id
                for model_id, wish in demand.items()
                if wish.waiting and model_id in loadable
            ]
            here = resident.model_id if resident else None
            assert again_ms is not None or set(others) <= {here}
            assert again_ms is None or again_ms > 0


@given(st.lists(st.tuples(st.integers(0, 400), ids), min_size=1, max_size=120), st.integers(1, 400))
def test_whatever_arrives_swaps_are_few_and_waits_are_bounded(arrivals, task_ms):
    """Simulate a pool of one slot: tasks run one by one, a swap takes a second."""
    rules, load_ms = SwapRules(min_residency_ms=2_000, max_wait_ms=5_000), 1_000
    queue, now, swaps, longest = [], 0, 0, {}
    due = iter(
        sorted((sum(gap for gap, _ in arrivals[: n + 1]), m) for n, (_, m) in enumerate(arrivals))
    )
    coming, resident = next(due, None), None
    while coming is not None or queue:
        while coming is not None and coming[0] <= now:
            queue.append(coming)
            coming = next(due, None)
        demand = {}
        for came, model_id in queue:
            known = demand.get(model_id, Demand(0, 0))
            demand[model_id] = Demand(known.waiting + 1, max(known.oldest_ms, now - came))
        decision = decide(rules, resident, demand, loadable=("a", "b", "c"), now_ms=now)
        mine = [task for task in queue if resident and task[1] == resident.model_id]
        if isinstance(decision, SwapTo):
            swaps += 1
            now += load_ms
            resident = Residence(decision.model_id, now, now, 0)
        elif mine:
            queue.remove(mine[0])
            longest[mine[0][1]] = max(longest.get(mine[0][1], 0), now - mine[0][0])
            now += task_ms
        else:
            now = min(
                now + (decision.again_ms or 10**9), coming[0] if coming is not None else 10**9
            )
    assert swaps <= 1 + now / rules.min_residency_ms
    # A backlog of its own, and a turn of each other model with its load.
    backlog = len(arrivals) * task_ms
    assert all(
        wait <= backlog + 6 * (rules.max_wait_ms + load_ms + task_ms) for wait in longest.values()
    )
