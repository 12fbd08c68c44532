"""Connections that wait for their next request."""

from pool_managerd.relay.kept import KeptLinks


class Link:
    """A connection that can only be open or not."""

    def __init__(self) -> None:
        self.is_open = True
        self.aged = False

    def abort(self) -> None:
        self.is_open = False


async def test_the_one_that_was_used_last_is_used_next() -> None:
    kept: KeptLinks[Link] = KeptLinks(2)
    first, second = Link(), Link()
    kept.keep(first)
    kept.keep(second)
    assert [kept.take(), kept.take(), kept.take()] == [second, first, None]
    kept.close()


async def test_what_has_been_closed_meanwhile_is_not_given_out() -> None:
    kept: KeptLinks[Link] = KeptLinks(2)
    first, second = Link(), Link()
    kept.keep(first)
    kept.keep(second)
    second.is_open = False
    assert kept.take() is first
    kept.close()


async def test_no_more_are_kept_than_there_is_room_for() -> None:
    kept: KeptLinks[Link] = KeptLinks(1)
    first, second = Link(), Link()
    kept.keep(first)
    kept.keep(second)
    assert (first.is_open, second.is_open) == (True, False)
    kept.close()


async def test_closing_closes_those_that_wait_and_those_that_come_back_later() -> None:
    kept: KeptLinks[Link] = KeptLinks(2)
    waiting, busy = Link(), Link()
    kept.keep(waiting)
    kept.close()
    kept.keep(busy)
    assert not waiting.is_open
    assert not busy.is_open
    assert kept.take() is None


async def test_one_that_nobody_uses_is_closed_at_the_second_look() -> None:
    kept: KeptLinks[Link] = KeptLinks(2)
    unused, used = Link(), Link()
    kept.keep(unused)
    kept.look()
    kept.keep(used)
    assert unused.is_open
    kept.look()
    assert (unused.is_open, used.is_open) == (False, True)
    taken = kept.take()
    assert taken is used
    kept.keep(used)  # It begins anew.
    kept.look()
    assert used.is_open
    kept.look()
    assert not used.is_open
    kept.close()
