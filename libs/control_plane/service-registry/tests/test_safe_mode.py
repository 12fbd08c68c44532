"""When most nodes vanish at once, our own network is the likelier cause."""

from service_registry import LeaseState, NodeOffline, SafeModeEntered, SafeModeLeft


def states(fleet):
    return {lease.node_id: lease.state.value for lease in fleet.leases.nodes()}


def test_two_of_three_nodes_that_vanish_at_once_are_suspected_not_evicted(fleet):
    _, _, here = fleet.join("gpu-a", "gpu-b", "gpu-c")
    fleet.pass_time(20_000)
    fleet.beat(here)
    fleet.told()
    fleet.pass_time(10_000)
    assert fleet.told() == ["NodeOffline", "NodeOffline", "SafeModeEntered"]
    assert states(fleet) == {"gpu-a": "suspected", "gpu-b": "suspected", "gpu-c": "online"}
    assert not fleet.leases.get("gpu-a").placeable
    assert fleet.leases.get("gpu-c").placeable
    assert fleet.leases.health().safe_mode


def test_an_offline_event_says_whether_the_node_is_only_suspected(fleet):
    fleet.join("gpu-a", "gpu-b", "gpu-c")
    fleet.pass_time(30_000)
    offline = [event for event in fleet.events if isinstance(event, NodeOffline)]
    assert {event.node.state for event in offline} == {LeaseState.SUSPECTED}
    assert fleet.events[-1] == SafeModeEntered(("gpu-a", "gpu-b", "gpu-c"))


def test_nothing_is_forgotten_in_safe_mode_however_long_it_lasts(fleet):
    fleet.join("gpu-a", "gpu-b", "gpu-c")
    fleet.pass_time(30_000)
    for _ in range(48):
        fleet.pass_time(1_800_000)
    assert len(states(fleet)) == 3
    assert "NodeRemoved" not in fleet.told()


def test_nodes_that_vanish_a_little_later_than_others_count_as_well(fleet):
    first, *others = fleet.join("gpu-a", "gpu-b", "gpu-c", "gpu-d", "gpu-e")
    fleet.pass_time(15_000)
    fleet.beat(*others)
    fleet.pass_time(15_000)
    assert states(fleet)["gpu-a"] == "offline"
    fleet.beat(*others[:2])
    fleet.pass_time(15_000)
    assert fleet.leases.safe_mode
    assert sorted(states(fleet).values()) == ["online"] * 2 + ["suspected"] * 3
    assert first.node_id == "gpu-a"


def test_nodes_that_vanish_one_after_the_other_are_no_reason_for_suspicion(fleet):
    nodes = fleet.join("gpu-a", "gpu-b", "gpu-c", "gpu-d", "gpu-e")
    while nodes:
        nodes = nodes[1:]
        for _ in range(4):
            fleet.pass_time(15_000)
            fleet.beat(*nodes)
    assert set(states(fleet).values()) == {"offline"}
    assert "SafeModeEntered" not in fleet.told()


def test_half_of_the_nodes_or_both_of_two_are_no_reason_either(fleet):
    _, _, *here = fleet.join("gpu-a", "gpu-b", "gpu-c", "gpu-d")
    fleet.pass_time(20_000)
    fleet.beat(*here)
    fleet.pass_time(10_000)
    assert not fleet.leases.safe_mode


def test_two_nodes_are_too_few_to_suspect_anything(fleet):
    fleet.join("gpu-a", "gpu-b")
    fleet.pass_time(30_000)
    assert not fleet.leases.safe_mode


def test_safe_mode_ends_by_itself_when_most_are_heard_again(fleet):
    nodes = fleet.join("gpu-a", "gpu-b", "gpu-c", "gpu-d")
    fleet.pass_time(40_000)
    fleet.beat(nodes[0])
    assert fleet.leases.safe_mode
    fleet.told()
    fleet.beat(nodes[1])
    assert fleet.told() == ["NodeOnline", "SafeModeLeft", "NodeReported"]
    assert states(fleet)["gpu-c"] == "offline"
    fleet.beat(*nodes[2:])
    assert set(states(fleet).values()) == {"online"}


def test_who_is_still_away_when_safe_mode_ends_has_the_whole_time_to_come_back(fleet):
    nodes = fleet.join("gpu-a", "gpu-b", "gpu-c")
    fleet.pass_time(30_000)
    fleet.pass_time(3_600_000)
    fleet.beat(*nodes[:2])
    assert fleet.events[-2] == SafeModeLeft(("gpu-c",))
    fleet.pass_time(599_000)
    fleet.beat(*nodes[:2])
    assert "gpu-c" in states(fleet)
    fleet.pass_time(1_000)
    assert "gpu-c" not in states(fleet)


def test_an_operator_who_removes_the_dead_ends_safe_mode(fleet):
    *_, here = fleet.join("gpu-a", "gpu-b", "gpu-c", "gpu-d")
    fleet.pass_time(20_000)
    fleet.beat(here)
    fleet.pass_time(10_000)
    assert fleet.leases.safe_mode
    for name in ("gpu-a", "gpu-b"):
        fleet.find_out(fleet.leases.remove, name, fleet.now_ms)
    assert not fleet.leases.safe_mode


def test_nodes_that_come_back_under_new_addresses_are_let_in(fleet):
    nodes = fleet.join("gpu-a", "gpu-b", "gpu-c")
    fleet.pass_time(30_000)
    for node in nodes:
        moved = node.restarted(f"https://{node.node_id}.new.example:9200")
        assert fleet.say(fleet.leases.register, moved.register()).success
    assert not fleet.leases.safe_mode


def test_a_control_plane_that_stood_still_itself_evicts_nobody(fleet):
    nodes = fleet.join("gpu-a", "gpu-b", "gpu-c")
    fleet.pass_time(7_200_000)
    assert set(states(fleet).values()) == {"suspected"}
    fleet.beat(*nodes)
    assert set(states(fleet).values()) == {"online"}
