"""What is known of replicas that outlives reports, but not the engine process."""

from typing import TypeAlias

from orchestrator_core import ReplicaKey, ReplicaView

_Marked: TypeAlias = dict[ReplicaKey, tuple[int, int | None]]
"""With the engine process that is meant: a new one starts afresh."""


class Marks:
    """The replicas that get no task for what we found out ourselves, whatever their nodes say."""

    def __init__(self) -> None:
        self._suspects: _Marked = {}
        self._open_breakers: _Marked = {}

    def suspect(self, view: ReplicaView) -> None:
        """Note that a replica has not confirmed the stop of a task."""
        self._suspects[view.key] = view.process

    def clear_suspect(self, key: ReplicaKey) -> bool:
        """Note that a replica has answered; whether it was suspect."""
        return self._suspects.pop(key, None) is not None

    def set_breaker(self, view: ReplicaView, *, closed: bool) -> None:
        """Note whether the circuit breaker of a replica lets tasks through."""
        if closed:
            self._open_breakers.pop(view.key, None)
        else:
            self._open_breakers[view.key] = view.process

    def open_breakers(self) -> tuple[ReplicaKey, ...]:
        """Name the replicas whose breaker keeps tasks away."""
        return tuple(self._open_breakers)

    def put_on(self, view: ReplicaView) -> ReplicaView:
        """Return a view with its marks; those of an engine process before it are forgotten."""
        key = view.key
        for marked in (self._suspects, self._open_breakers):
            if marked and marked.get(key, view.process) != view.process:
                del marked[key]
        suspect, breaker_closed = key in self._suspects, key not in self._open_breakers
        if (suspect, breaker_closed) == (view.suspect, view.breaker_closed):
            return view
        return view.but(suspect=suspect, breaker_closed=breaker_closed)

    def forget(self, key: ReplicaKey) -> None:
        """Drop what is known of a replica that is gone."""
        self._suspects.pop(key, None)
        self._open_breakers.pop(key, None)

    def check_invariants(self, views: dict[ReplicaKey, ReplicaView]) -> None:
        """Assert that the views, which are all that there are, have these marks; for tests."""
        assert views.keys() >= self._suspects.keys() | self._open_breakers.keys()
        for view in views.values():
            assert self.put_on(view) is view
