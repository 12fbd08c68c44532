import asyncio
from contextlib import asynccontextmanager

import pytest

from node_health_poller import (
    Freshness,
    NodeHealthPoller,
    NodePolled,
    PollFailed,
    PollSettings,
)
from node_health_poller.testing import FakeNames, FakeNodes, PassingTime

A, B, C = "http://gpu-a:9200", "http://gpu-b:9200", "http://gpu-c:9200"


@pytest.fixture
def time():
    return PassingTime()


@pytest.fixture
def nodes():
    return FakeNodes()


@pytest.fixture
def results():
    return []


@pytest.fixture
def polling(time, nodes, results):
    @asynccontextmanager
    async def run(*urls, resolver=None, also=tuple, **settings):
        poller = NodeHealthPoller(
            PollSettings(urls=urls, dns_scheme="http", **settings),
            results.append,
            nodes,
            resolver=resolver,
            also=also,
            now_ms=time.now_ms,
            chance=lambda: 0.5,
            pause=time.pause,
        )
        async with asyncio.TaskGroup() as tasks:
            loop = tasks.create_task(poller.keep_polling())
            await time.settle()
            yield poller
            loop.cancel()

    return run


async def test_every_node_is_asked_at_once_and_then_each_interval(polling, time, nodes, results):
    async with polling(A, f"{B}/"):
        assert sorted(nodes.asked) == [A, B]
        await time.pass_s(15)
        assert sorted(nodes.asked) == [A] * 4 + [B] * 4
    assert all(isinstance(result, NodePolled) for result in results)
    assert {result.node.node_id for result in results} == {"gpu-a", "gpu-b"}


async def test_a_status_is_fresh_then_stale_then_absent(polling, time, nodes):
    async with polling(A) as poller:
        assert poller.status(A).freshness is Freshness.FRESH
        nodes.down.add(A)
        await time.pass_s(13)
        status = poller.status(A)
        assert (status.freshness, status.age_ms) == (Freshness.STALE, 13_000)
        assert status.last.node.node_id == "gpu-a"
        assert "refused" in status.reason
        await time.pass_s(20)
        assert poller.status(A).freshness is Freshness.ABSENT
        assert poller.status(A).last is None
        nodes.down.clear()
        await time.pass_s(20)
        assert poller.status(A).freshness is Freshness.FRESH
        assert poller.status(A).reason is None


async def test_a_node_that_never_answered_is_absent(polling, nodes):
    nodes.down.add(A)
    async with polling(A) as poller:
        status = poller.status(f"{A}/")
        assert (status.freshness, status.age_ms, status.last) == (Freshness.ABSENT, None, None)
        assert poller.status(B) is None
        assert [known.url for known in poller.statuses()] == [A]


async def test_failures_are_counted_and_name_the_node_that_answered_before(
    polling, time, nodes, results
):
    async with polling(A):
        nodes.down.add(A)
        await time.pass_s(20)
    failed = [result for result in results if isinstance(result, PollFailed)]
    assert [(result.failures, result.node_id) for result in failed] == [(1, "gpu-a"), (2, "gpu-a")]


async def test_a_node_that_hangs_delays_no_other(polling, time, nodes):
    nodes.held[A] = asyncio.Event()
    async with polling(A, B):
        await time.pass_s(10)
        assert nodes.asked.count(A) == 1
        assert nodes.asked.count(B) == 3


async def test_no_more_nodes_are_asked_at_once_than_allowed(polling, time, nodes):
    urls = [f"http://gpu-{number}:9200" for number in range(20)]
    released = asyncio.Event()
    nodes.held = dict.fromkeys(urls, released)
    async with polling(*urls, concurrency=4):
        assert len(nodes.asked) == 4
        released.set()
        await time.settle()
        assert sorted(nodes.asked) == sorted(urls)
    assert nodes.most_at_once == 4


async def test_nodes_come_and_go_with_the_name_service(polling, time, nodes):
    names = FakeNames(("gpu-a", 9200))
    async with polling(resolver=names, dns_name="_llorch._tcp.example") as poller:
        assert [known.url for known in poller.statuses()] == [A]
        names.members = (("gpu-a", 9200), ("gpu-b", 9200))
        await time.pass_s(30)
        assert [known.url for known in poller.statuses()] == [A, B]
        nodes.down.add(A)
        names.members = (("gpu-b", 9200),)
        await time.pass_s(60)
        assert [known.url for known in poller.statuses()] == [B]


async def test_a_node_that_answers_stays_though_the_name_service_has_lost_it(polling, time, nodes):
    names = FakeNames(("gpu-a", 9200))
    async with polling(resolver=names, dns_name="_llorch._tcp.example") as poller:
        names.members = ()
        await time.pass_s(300)
        assert [known.freshness for known in poller.statuses()] == [Freshness.FRESH]


async def test_a_name_service_that_is_down_costs_no_node(polling, time, nodes):
    names = FakeNames(("gpu-a", 9200))
    async with polling(resolver=names, dns_name="_llorch._tcp.example") as poller:
        names.trouble = "no name server answered"
        nodes.down.add(A)
        await time.pass_s(120)
        assert "no name server" in poller.dns_trouble
        assert [known.url for known in poller.statuses()] == [A]
        names.trouble = None
        await time.pass_s(30)
        assert poller.dns_trouble is None


async def test_more_nodes_can_be_named_while_it_runs(polling, time, nodes):
    unreachable = set()
    async with polling(A, also=lambda: unreachable) as poller:
        unreachable.add(C)
        await time.pass_s(5)
        assert C in nodes.asked
        unreachable.clear()
        await time.pass_s(5)
        assert poller.status(C) is None
        asked = nodes.asked.count(C)
        await time.pass_s(20)
        assert nodes.asked.count(C) == asked


async def test_one_node_listed_twice_is_one(polling, nodes):
    names = FakeNames(("gpu-a", 9200))
    async with polling(A, resolver=names, dns_name="_llorch._tcp.example", also=lambda: [f"{A}/"]):
        assert nodes.asked == [A]


async def test_a_callback_that_fails_ends_the_poller_loudly(time, nodes):
    def fail(result):
        raise RuntimeError("cannot take it")

    poller = NodeHealthPoller(
        PollSettings(urls=(A,)), fail, nodes, now_ms=time.now_ms, pause=time.pause
    )
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await poller.keep_polling()
