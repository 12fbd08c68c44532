"""The one timer of all event streams."""

import asyncio

from orchestratord.http.rounds import Rounds


class Looker:
    """Notes when it was let look, and leaves after so many times."""

    def __init__(self, rounds: Rounds, *, times: int) -> None:
        self._rounds = rounds
        self._left = times
        self.seen_s: list[float] = []
        self.done = asyncio.Event()

    def look(self, now_s: float) -> None:
        self.seen_s.append(now_s)
        self._left -= 1
        if self._left == 0:
            self._rounds.leave(self)
            self.done.set()


async def test_everybody_looks_until_they_leave_whoever_else_leaves_meanwhile() -> None:
    rounds = Rounds(0.001)
    brief, long = Looker(rounds, times=1), Looker(rounds, times=3)
    rounds.join(brief)
    rounds.join(long)
    async with asyncio.timeout(5):
        await long.done.wait()
    assert len(brief.seen_s) == 1
    assert len(long.seen_s) == 3
    assert long.seen_s == sorted(long.seen_s)


async def test_it_rests_while_there_is_nobody_and_goes_on_with_the_next() -> None:
    rounds = Rounds(0.001)
    rounds.leave(Looker(rounds, times=1))
    for _ in range(2):
        looker = Looker(rounds, times=1)
        rounds.join(looker)
        async with asyncio.timeout(5):
            await looker.done.wait()
        assert len(looker.seen_s) == 1
