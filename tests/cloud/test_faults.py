"""Everything at once: load from many clients, faults at random, and the books balance."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo_model import SLOW

from .calls import GREEDY, CloudApi, all_idle
from .cluster import NODE_TIMEOUT_MS, Cluster, Node
from .of_home import EVENT_STREAM, Pool, check_grammar, frames_of, get, text_of
from .wires import Wires

CLIENTS = 8
FAULT_EVERY_S = (1.0, 4.0)
LOOK_EVERY_S = 0.2
BACK_S = 60.0
HANGS_S = 300.0
"""A busy machine is slow, and each fault begins a task anew; but no stream is open for ever."""
SILENCE_S = NODE_TIMEOUT_MS / 1000
KILLS_AT_MOST, KILLS_WITHIN_S = 4, 300.0
"""Of one engine: more in a row are a restart storm, and its supervisor waits for five minutes."""
TOKENS = 60
"""Few enough that what is carried along ends before the first character of several tokens."""
MAY_BE_TOLD = {"WORKER_RESET", "POOL_UNAVAILABLE", "REPLICA_EXHAUSTED", "NODE_UNAVAILABLE"}


@pytest.fixture
def cluster(
    tmp_path: Path, models: Path, wires: Wires, aliases: dict[str, str]
) -> Iterator[Cluster]:
    slow = Pool.of(models, SLOW, slots=2, ctx=4096)
    with Cluster.at(tmp_path / "cluster", wires, model_aliases=aliases) as cluster:
        cluster.control.start()
        for name in ("node-a", "node-b", "node-c"):
            cluster.node(name, slow).start()
        yield cluster


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "seconds",
    [pytest.param(120, marks=pytest.mark.netns), pytest.param(900, marks=pytest.mark.long)],
)
async def test_whatever_happens_every_task_ends_once_and_no_slot_is_lost(
    cluster: Cluster, connect: Callable[[Cluster], CloudApi], seconds: int
) -> None:
    api = connect(cluster)
    await api.all_placeable(*cluster.nodes)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    end_s = time.monotonic() + seconds
    books = Books()
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(api, random.Random(seed + number), end_s, books.ends))
        group.create_task(trouble(cluster, random.Random(seed), end_s, books.faults))
        group.create_task(watch(cluster, api, end_s, books))
    print(books.told(), moved(api))
    await api.all_placeable(*cluster.nodes, within_s=BACK_S)
    await all_idle(cluster, api, within_s=BACK_S)
    assert books.ends["end"] > books.ends.total() / 2
    assert books.back_s, "no fault was ever noticed"
    assert max(books.back_s) < BACK_S + 2 * SILENCE_S
    for state in ("queued", "preparing", "running", "stopping"):
        assert not (await api.get(f"/v2/tasks?state={state}"))["tasks"]


@dataclass
class Books:
    """What happened in all."""

    ends: Counter[str] = field(default_factory=Counter)
    """How each stream ended: `end`, the code of its error, or the refusal."""
    faults: Counter[str] = field(default_factory=Counter)
    back_s: list[float] = field(default_factory=list)
    """For each time that a node took no task: how long."""

    def told(self) -> str:
        """The figures of a report."""
        back_s = sorted(self.back_s)
        return (
            f"{self.ends.total()} streams {dict(self.ends)}; "
            f"{self.faults.total()} faults {dict(self.faults)}; {len(back_s)} recoveries, "
            f"median {back_s[len(back_s) // 2]:.1f} s, longest {back_s[-1]:.1f} s"
        )


def moved(api: CloudApi) -> list[str]:
    """What the control plane has counted of tasks that changed their replica."""
    lines = get(f"{api.url}/metrics").decode().splitlines()
    return [line for line in lines if line.startswith("orchd_task_failovers_total{")]


async def client(api: CloudApi, chance: random.Random, end_s: float, ends: Counter[str]) -> None:
    """Have one task after the other, of every kind, and hold each stream to the contract."""
    while time.monotonic() < end_s:
        on_loss = chance.choice(["fail", "restart", "resume"])
        tokens = chance.randrange(2, TOKENS)
        task = {"model_ref": "slow", "prompt": "1", "max_tokens": tokens, "sampling": GREEDY}
        async with asyncio.timeout(HANGS_S):
            answer = await api.call(
                "POST",
                "/v2/tasks",
                json={**task, "on_worker_loss": on_loss},
                headers=EVENT_STREAM,
            )
        if answer.status != 200:
            assert answer.json()["retriable"] is True, answer
            ends[f"refused {answer.json()['code']}"] += 1
            await asyncio.sleep(0.5)
            continue
        frames = frames_of(answer.body)
        starts = [index for index, frame in enumerate(frames) if frame.event == "started"]
        assert len(starts) == 1 or on_loss == "restart"
        last = frames[starts[-1] :]
        check_grammar(last)
        assert sum(frame.event in {"end", "error"} for frame in frames) == 1
        if last[-1].event == "end":
            assert text_of(last) == SLOW.expected_text(tokens), on_loss
        else:
            assert last[-1].data["code"] in MAY_BE_TOLD, last[-1]
            assert SLOW.expected_text(tokens).startswith(text_of(last))
        ends[last[-1].data.get("code", "end")] += 1


async def watch(cluster: Cluster, api: CloudApi, end_s: float, books: Books) -> None:
    """Note when nodes stop taking tasks, and how long it takes until they do again."""
    out_since_s: dict[str, float] = {}
    while time.monotonic() < end_s or out_since_s:
        await asyncio.sleep(LOOK_EVERY_S)
        nodes, pools = await api.nodes(), await api.pools()
        for name in cluster.nodes:
            pool = pools.get(f"{name}:slow")
            if name in nodes and nodes[name]["placeable"] and pool is not None and pool["ready"]:
                if (since_s := out_since_s.pop(name, None)) is not None:
                    books.back_s.append(time.monotonic() - since_s)
            else:
                out_since_s.setdefault(name, time.monotonic())


async def trouble(
    cluster: Cluster, chance: random.Random, end_s: float, faults: Counter[str]
) -> None:
    """Break things, one node at a time, and mend what does not mend itself."""
    kills_s: dict[str, list[float]] = {name: [] for name in cluster.nodes}
    while time.monotonic() < end_s:
        await asyncio.sleep(chance.uniform(*FAULT_EVERY_S))
        name = chance.choice(list(cluster.nodes))
        node = cluster.nodes[name]
        fault = chance.choice([kill_engine, kill_daemon, unplug, blink, slow_down])
        if fault is kill_engine:
            now_s = time.monotonic()
            kills_s[name] = [at_s for at_s in kills_s[name] if now_s - at_s < KILLS_WITHIN_S]
            if len(kills_s[name]) < KILLS_AT_MOST:
                kills_s[name].append(now_s)
            else:
                fault = blink
        faults[fault.__name__] += 1
        await fault(node, chance)


async def kill_engine(node: Node, _chance: random.Random) -> None:
    engine = await asyncio.to_thread(node.engine, "slow")
    if engine.slots():
        engine.kill()


async def kill_daemon(node: Node, chance: random.Random) -> None:
    node.kill()
    await asyncio.sleep(chance.uniform(0, 2))
    await asyncio.to_thread(node.start)


async def unplug(node: Node, chance: random.Random) -> None:
    node.partition()
    await asyncio.sleep(chance.uniform(SILENCE_S / 2, 2 * SILENCE_S))
    node.heal()


async def blink(node: Node, chance: random.Random) -> None:
    node.partition()
    await asyncio.sleep(chance.uniform(0, 0.5))
    node.heal()


async def slow_down(node: Node, chance: random.Random) -> None:
    node.into.delay_s = node.out.delay_s = (0.1, 0.3)
    await asyncio.sleep(chance.uniform(1, 4))
    node.into.delay_s = node.out.delay_s = (0.0, 0.0)
