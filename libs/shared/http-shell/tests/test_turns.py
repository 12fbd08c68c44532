"""What begins in one turn of the loop: more has to wait, and nothing is lost or overtaken."""

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_shell.turns import AT_ONCE, Turns


class Loop:
    """Calls what it was given one turn at a time."""

    def __init__(self) -> None:
        self.soon: deque[Callable[[], None]] = deque()

    def turn(self) -> None:
        """Call what was given before this turn."""
        for _ in range(len(self.soon)):
            self.soon.popleft()()


class Door:
    """Lets requests in as a connection does, and notes which began."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.began: list[int] = []

    def come(self, number: int) -> None:
        """Let a request come, or come again that was put off."""
        if not self._turns.left:
            self._turns.put_off(lambda: self.come(number))
            return
        self._turns.left -= 1
        self.began.append(number)


@given(coming=st.lists(st.integers(0, 3 * AT_ONCE), max_size=12))
def test_no_turn_begins_more_than_it_may_and_all_begin_in_their_order(coming: list[int]) -> None:
    loop = Loop()
    door = Door(Turns(loop.soon.append))
    came = 0
    for many in coming:
        before = len(door.began)
        loop.turn()
        for _ in range(many):
            door.come(came)
            came += 1
        assert len(door.began) - before <= AT_ONCE
    while loop.soon:
        before = len(door.began)
        loop.turn()
        assert len(door.began) - before <= AT_ONCE
    assert door.began == list(range(came))


def test_where_little_is_to_do_the_loop_is_hardly_ever_asked() -> None:
    loop = Loop()
    door = Door(Turns(loop.soon.append))
    asked = 0
    for number in range(10 * AT_ONCE):
        door.come(number)
        asked += len(loop.soon)
        loop.turn()
    assert asked == 9


def test_what_fails_keeps_nobody_from_beginning() -> None:
    loop = Loop()
    turns = Turns(loop.soon.append)
    door = Door(turns)
    for number in range(AT_ONCE):
        door.come(number)
    turns.put_off(lambda: pytest.fail("a connection breaks"))
    door.come(AT_ONCE)
    with pytest.raises(pytest.fail.Exception):
        loop.turn()
    loop.turn()
    assert door.began == list(range(AT_ONCE + 1))
