"""Where the cache of a session may still be warm."""

from collections import OrderedDict
from typing import NamedTuple

from orchestrator_core import ReplicaKey, ReplicaView


class _LastTurn(NamedTuple):
    key: ReplicaKey
    process: tuple[int, int | None]
    granted: int


class SessionAffinity:
    """Remembers, for the sessions used most recently, the replica of their last turn."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._turns: OrderedDict[str, _LastTurn] = OrderedDict()

    def remember(self, session_id: str, view: ReplicaView, granted: int) -> None:
        """Note that a turn runs on a replica as its `granted`-th task."""
        self._turns[session_id] = _LastTurn(view.key, view.process, granted)
        self._turns.move_to_end(session_id)
        if len(self._turns) > self._capacity:
            self._turns.popitem(last=False)

    def key(self, session_id: str) -> ReplicaKey | None:
        """Tell where the last turn of a session ran."""
        turn = self._turns.get(session_id)
        return None if turn is None else turn.key

    def warmth(self, session_id: str, view: ReplicaView | None, granted: int) -> float:
        """Guess how likely the session's cache still lies in one of the replica's slots.

        Each task since then has taken one of the slots, any with the same probability. A new
        engine process or a switched-off prompt cache is cold.
        """
        turn = self._turns.get(session_id)
        if turn is None or view is None or view.key != turn.key:
            return 0.0
        if view.process != turn.process or not view.prompt_cache or view.slots_total < 1:
            return 0.0
        return float((1 - 1 / view.slots_total) ** max(0, granted - turn.granted))

    def forget(self, session_id: str) -> None:
        """Drop a session."""
        self._turns.pop(session_id, None)
