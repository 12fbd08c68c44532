import pytest

from node_types import NodeStatus
from service_registry import RefusalCode, Refused, RegistrySettings
from service_registry.testing import MadeUpNode, pool


def test_a_node_is_placeable_once_it_has_said_how_its_pools_are(fleet):
    node = MadeUpNode("gpu-a")
    answer = fleet.say(fleet.leases.register, node.register(zone="a"))
    assert (answer.success, answer.heartbeat_interval_ms) == (True, 10_000)
    lease = fleet.leases.get("gpu-a")
    assert (lease.status, lease.placeable) == (NodeStatus.REGISTERING, False)
    assert lease.labels == {"zone": "a"}
    assert fleet.beat(node)[0].next_heartbeat_ms == 10_000
    lease = fleet.leases.get("gpu-a")
    assert (lease.status, lease.placeable) == (NodeStatus.ONLINE, True)
    assert fleet.told() == ["NodeOnline", "NodeReported"]


def test_a_heartbeat_of_a_node_that_is_not_registered_asks_it_to_register(fleet):
    (answer,) = fleet.beat(MadeUpNode("gpu-a"))
    assert answer.code is RefusalCode.NODE_UNKNOWN
    assert "register" in answer.message
    assert fleet.told() == []


def test_a_node_is_offline_after_thirty_seconds_without_a_word(fleet):
    fleet.join("gpu-a")
    fleet.told()
    fleet.pass_time(29_999)
    assert fleet.told() == []
    fleet.pass_time(1)
    assert fleet.told() == ["NodeOffline"]
    lease = fleet.leases.get("gpu-a")
    assert (lease.status, lease.placeable) == (NodeStatus.OFFLINE, False)
    fleet.pass_time(1_000)
    assert fleet.told() == []


def test_any_channel_counts_as_heard(fleet):
    node = fleet.join("gpu-a")
    for speak in (
        lambda: fleet.say(fleet.leases.heartbeat, node.heartbeat()),
        lambda: fleet.say(fleet.leases.pool_ready, node.pool_ready(pool())),
        lambda: fleet.say(fleet.leases.polled, node.register(), (pool(),)),
        lambda: fleet.say(fleet.leases.register, node.register()),
    ):
        fleet.pass_time(29_000)
        speak()
    fleet.pass_time(29_000)
    assert "NodeOffline" not in fleet.told()


def test_a_node_that_is_heard_again_needs_nobody(fleet):
    node = fleet.join("gpu-a")
    fleet.pass_time(40_000)
    fleet.told()
    fleet.beat(node)
    assert fleet.told() == ["NodeOnline", "NodeReported"]
    assert fleet.leases.get("gpu-a").placeable


def test_an_older_message_of_the_same_start_changes_nothing(fleet):
    node = fleet.join("gpu-a")
    late = node.heartbeat(pool("old"))
    fleet.beat(node)
    answer = fleet.say(fleet.leases.heartbeat, late)
    assert answer.code is RefusalCode.STALE_INCARNATION
    assert [known.pool_id for known in fleet.leases.get("gpu-a").pools] == ["chat"]


def test_the_same_message_twice_is_as_good_as_once(fleet):
    node = fleet.join("gpu-a")
    message = node.heartbeat()
    first = fleet.say(fleet.leases.heartbeat, message)
    assert fleet.say(fleet.leases.heartbeat, message) == first


def test_a_new_start_replaces_the_old_one_whose_messages_change_nothing_any_more(fleet):
    old = fleet.join("gpu-a")
    new = old.restarted()
    fleet.told()
    assert fleet.say(fleet.leases.register, new.register()).success
    assert fleet.told() == ["NodeOnline"]
    lease = fleet.leases.get("gpu-a")
    assert not lease.placeable
    assert [known.pool_id for known in lease.pools] == ["chat"]
    for late in (
        fleet.say(fleet.leases.heartbeat, old.heartbeat(pool("old"))),
        fleet.say(fleet.leases.pool_ready, old.pool_ready(pool("old"))),
        fleet.say(fleet.leases.register, old.register()),
        fleet.say(fleet.leases.polled, old.register(), (pool("old"),)),
        fleet.say(fleet.leases.deregister, old.deregister()),
    ):
        assert late.code is RefusalCode.STALE_INCARNATION
    assert fleet.leases.get("gpu-a") == lease
    fleet.beat(new)
    assert fleet.leases.get("gpu-a").placeable


def test_the_heartbeat_of_a_start_whose_registration_was_lost_asks_for_it(fleet):
    new = fleet.join("gpu-a").restarted()
    assert fleet.beat(new)[0].code is RefusalCode.NODE_UNKNOWN


def test_two_machines_with_one_id_are_told_apart_while_the_lease_lives(fleet):
    first = fleet.join("gpu-a")
    second = first.restarted("https://other.example:9200")
    answer = fleet.say(fleet.leases.register, second.register())
    assert answer.code is RefusalCode.NODE_ID_CONFLICT
    assert "https://other.example:9200" in answer.message
    assert "gpu-a.example" in answer.message
    assert fleet.leases.get("gpu-a").incarnation == first.incarnation
    fleet.pass_time(30_000)
    assert fleet.say(fleet.leases.register, second.register()).success


def test_the_same_address_may_be_written_differently(fleet):
    node = fleet.join("gpu-a")
    again = node.restarted("https://GPU-A.example:9200/")
    assert fleet.say(fleet.leases.register, again.register()).success


def test_a_node_that_leaves_is_gone_at_once_and_its_late_messages_do_not_bring_it_back(fleet):
    node = fleet.join("gpu-a")
    late = node.register()
    fleet.told()
    assert fleet.say(fleet.leases.deregister, node.deregister()).success
    assert fleet.told() == ["NodeRemoved"]
    for answer in (
        fleet.say(fleet.leases.register, late),
        fleet.say(fleet.leases.polled, node.register(), (pool(),)),
        fleet.say(fleet.leases.heartbeat, node.heartbeat()),
    ):
        assert answer.code is RefusalCode.STALE_INCARNATION
    assert fleet.leases.get("gpu-a") is None
    assert fleet.say(fleet.leases.register, node.restarted().register()).success


def test_an_unknown_node_may_leave_as_well(fleet):
    assert not fleet.say(fleet.leases.deregister, MadeUpNode("gpu-a").deregister()).success


def test_a_node_that_stays_away_is_forgotten_and_may_come_back(fleet):
    node = fleet.join("gpu-a")
    fleet.pass_time(30_000)
    fleet.pass_time(599_999)
    assert "NodeRemoved" not in fleet.told()
    fleet.pass_time(1)
    assert fleet.told() == ["NodeRemoved"]
    assert fleet.beat(node)[0].code is RefusalCode.NODE_UNKNOWN
    assert fleet.say(fleet.leases.register, node.register()).success


def test_a_node_that_an_operator_removes_comes_back_if_it_lives(fleet):
    node = fleet.join("gpu-a")
    fleet.told()
    fleet.find_out(fleet.leases.remove, "gpu-a", fleet.now_ms)
    fleet.find_out(fleet.leases.remove, "gpu-a", fleet.now_ms)
    assert fleet.told() == ["NodeRemoved"]
    assert fleet.beat(node)[0].code is RefusalCode.NODE_UNKNOWN
    assert fleet.say(fleet.leases.register, node.register()).success


def test_a_callback_says_what_the_next_heartbeat_would(fleet):
    node = fleet.join("gpu-a")
    fleet.say(fleet.leases.pool_ready, node.pool_ready(pool("embed")))
    fleet.say(fleet.leases.pool_ready, node.pool_ready(pool("chat", slots=8)))
    pools = {known.pool_id: known.slots_total for known in fleet.leases.get("gpu-a").pools}
    assert pools == {"chat": 8, "embed": 4}


def test_a_polled_node_and_a_registered_one_are_the_same_node(fleet):
    node = MadeUpNode("gpu-a")
    assert fleet.say(fleet.leases.polled, node.register(), (pool(),)) is None
    assert fleet.leases.get("gpu-a").placeable
    assert fleet.say(fleet.leases.register, node.register()).success
    assert not isinstance(fleet.beat(node)[0], Refused)
    fleet.say(fleet.leases.polled, node.register(), (pool(), pool("embed")))
    assert len(list(fleet.leases.nodes())) == 1
    assert fleet.told().count("NodeOnline") == 1
    assert fleet.leases.get("gpu-a").info().pools == ("chat", "embed")


def test_a_node_that_cannot_be_called_gets_no_task_until_a_call_succeeds(fleet):
    node = fleet.join("gpu-a")
    fleet.told()
    fleet.find_out(fleet.leases.report_call_outcome, "gpu-a", False)
    fleet.find_out(fleet.leases.report_call_outcome, "gpu-a", False)
    assert fleet.told() == ["NodeChanged"]
    fleet.beat(node)
    lease = fleet.leases.get("gpu-a")
    assert (lease.online, lease.placeable) == (True, False)
    fleet.find_out(fleet.leases.report_call_outcome, "gpu-a", True)
    assert fleet.leases.get("gpu-a").placeable


@pytest.mark.parametrize("how", ["polled", "restarted"])
def test_a_poll_or_a_restart_makes_a_node_reachable_again(fleet, how):
    node = fleet.join("gpu-a")
    fleet.find_out(fleet.leases.report_call_outcome, "gpu-a", False)
    if how == "polled":
        fleet.say(fleet.leases.polled, node.register(), (pool(),))
    else:
        node = node.restarted()
        fleet.say(fleet.leases.register, node.register())
        fleet.beat(node)
    assert fleet.leases.get("gpu-a").placeable


def test_a_call_to_a_node_that_is_gone_is_of_no_account(fleet):
    fleet.find_out(fleet.leases.report_call_outcome, "gpu-a", False)
    assert fleet.told() == []


def test_a_drain_holds_from_the_moment_it_is_asked_for_until_it_is_ended(fleet):
    node = fleet.join("gpu-a")
    fleet.find_out(fleet.leases.set_draining, "gpu-a", True)
    fleet.beat(node)
    lease = fleet.leases.get("gpu-a")
    assert (lease.status, lease.placeable) == (NodeStatus.DRAINING, False)
    fleet.find_out(fleet.leases.set_draining, "gpu-a", False)
    assert fleet.leases.get("gpu-a").status is NodeStatus.ONLINE


def test_a_node_whose_pools_all_drain_is_draining_and_one_that_serves_is_not(fleet):
    node = fleet.join("gpu-a")
    fleet.say(fleet.leases.heartbeat, node.heartbeat(pool(draining=True), pool("embed")))
    assert fleet.leases.get("gpu-a").status is NodeStatus.ONLINE
    both = node.heartbeat(pool(draining=True), pool("embed", draining=True))
    fleet.say(fleet.leases.heartbeat, both)
    assert fleet.leases.get("gpu-a").status is NodeStatus.DRAINING


def test_a_nodes_clock_is_of_no_account(fleet):
    node = fleet.join("gpu-a")
    message = node.heartbeat().model_copy(update={"timestamp": 4_000_000_000_000})
    fleet.say(fleet.leases.heartbeat, message)
    assert fleet.leases.get("gpu-a").heard_ms == fleet.now_ms


def test_health_counts_the_nodes(fleet):
    fleet.join("gpu-a", "gpu-b", "gpu-c")
    fleet.find_out(fleet.leases.set_draining, "gpu-a", True)
    fleet.find_out(fleet.leases.report_call_outcome, "gpu-b", False)
    health = fleet.leases.health()
    assert (health.online, health.draining, health.unreachable, health.offline) == (3, 1, 1, 0)
    assert not health.safe_mode


@pytest.mark.parametrize(
    "wrong", [{"heartbeat_interval_ms": 30_000}, {"forget_after_ms": 30_000}, {"timeout_ms": 0}]
)
def test_settings_that_contradict_each_other_are_refused(wrong):
    with pytest.raises(ValueError, match="timeout"):
        RegistrySettings(**wrong)
