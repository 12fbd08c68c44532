"""What is known of engines, and when it is forgotten."""

from dataclasses import replace

from local_pool_manager import PoolError, PoolNotFound, ReplicaEndpoint
from pool_managerd.relay.passages import KnownEngine, Passages
from pool_managerd.testing import OneEngine


class Kept:
    """A connection that can only be open or not."""

    aged = False
    is_open = True

    def abort(self) -> None:
        self.is_open = False


class Leaving(OneEngine):
    """An engine that may go."""

    gone: PoolError | None = None

    def endpoint(self, pool_id: str, replica_id: str) -> ReplicaEndpoint:
        if self.gone is not None:
            raise self.gone
        return super().endpoint(pool_id, replica_id)


def counted(_pool_id: str, _bytes: int) -> None:
    """Count nothing."""


def met(passages: Passages) -> KnownEngine:
    passage = passages.admit("pool", "r0", "GET", "/health", "")
    passages.close(passage)
    return passage.engine


async def test_an_engine_is_known_as_long_as_it_is_the_same() -> None:
    engines = Leaving("http://127.0.0.1:5")
    passages = Passages(engines, count=counted)
    first, link = met(passages), Kept()
    first.kept.keep(link)  # type: ignore[arg-type] - as much of a link as is kept
    passages.look()
    assert met(passages) is first
    assert link.is_open
    engines.at = replace(engines.at, generation=2)
    assert met(passages) is not first
    assert not link.is_open


async def test_what_is_kept_open_to_an_engine_is_closed_when_that_goes() -> None:
    for leave in (
        lambda engines: setattr(engines, "gone", PoolNotFound("it has gone")),
        lambda engines: setattr(engines, "at", replace(engines.at, generation=2)),
    ):
        engines, link = Leaving("http://127.0.0.1:5"), Kept()
        passages = Passages(engines, count=counted)
        met(passages).kept.keep(link)  # type: ignore[arg-type]
        leave(engines)
        passages.look()
        assert not link.is_open
