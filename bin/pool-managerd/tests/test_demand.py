"""What control planes say that tasks wait for, in the order in which each said it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from local_pool_manager import Demand
from pool_managerd.node.demand import ToldDemand
from service_discovery_types import ModelDemand, PoolDemand

ONE, TWO = UUID(int=1), UUID(int=2)


class Pools:
    """Keeps what it was told, by source."""

    def __init__(self) -> None:
        self.told: dict[str, Mapping[str, Demand]] = {}
        self.bounds: list[tuple[int, int]] = []

    def demand(
        self,
        pool_id: str,
        wishes: Mapping[str, Demand],
        *,
        source: str,
        valid_ms: int,
        max_wait_ms: int,
    ) -> None:
        assert pool_id == "main"
        self.told[source] = wishes
        self.bounds.append((valid_ms, max_wait_ms))


def message(source: UUID, seq: int, waiting: int) -> PoolDemand:
    models = (ModelDemand(model_id="m", waiting=waiting, oldest_ms=5),)
    return PoolDemand(source=source, seq=seq, valid_ms=1000, max_wait_ms=30, models=models)


def test_an_older_message_of_a_source_changes_nothing() -> None:
    pools: Any = Pools()
    told = ToldDemand(pools, now_ms=lambda: 0)
    assert told.take("main", message(ONE, 2, 7))
    assert not told.take("main", message(ONE, 1, 9))
    assert not told.take("main", message(ONE, 2, 9))
    assert told.take("main", message(TWO, 1, 3))
    assert pools.told == {str(ONE): {"m": Demand(7, 5)}, str(TWO): {"m": Demand(3, 5)}}
    assert pools.bounds == [(1000, 30)] * 2


def test_a_source_that_was_silent_for_long_may_begin_anew() -> None:
    pools: Any = Pools()
    clock = iter([0, 1001])
    told = ToldDemand(pools, now_ms=lambda: next(clock))
    assert told.take("main", message(ONE, 9, 1))
    assert told.take("main", message(ONE, 1, 2))
