"""Sessions: counters, budgets and the time they live. They never hold text.

Past its turn limit or its time to live a session starts anew and cold; that is never an error.
A spent budget is one: `BUDGET_EXCEEDED`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from api_types import ApiError, ErrorCode, SessionBudgets, SessionView


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """What a session may use; 0 means no limit."""

    ttl_ms: int = 600_000
    max_turns: int = 8
    token_budget: int = 0
    time_budget_ms: int = 0


@dataclass(slots=True)
class Session:
    """The counters of one session of one identity."""

    session_id: str
    identity: str
    last_used_ms: int
    turns: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    busy_ms: int = 0
    kv_warmth: float = 0.0
    """Share of the last prompt that the engine found in its cache."""
    kv_bytes: int = 0
    running: int = 0


class SessionTable:
    """All sessions, oldest use first, so that expiry looks only at the front."""

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._sessions: dict[tuple[str, str], Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin_turn(self, identity: str, session_id: str, now_ms: int) -> tuple[Session, bool]:
        """Count a turn; the answer says whether it is a cold one. Raises `BUDGET_EXCEEDED`."""
        key = (identity, session_id)
        session = self._live(key, now_ms)
        if session is not None and 0 < self._limits.max_turns <= session.turns:
            session = None
        cold = session is None
        if session is None:
            session = Session(session_id, identity, now_ms)
        self._check_budgets(session)
        session.turns += 1
        session.running += 1
        session.last_used_ms = now_ms
        self._sessions.pop(key, None)
        self._sessions[key] = session
        return session, cold

    def end_turn(
        self,
        session: Session,
        *,
        tokens_in: int = 0,
        tokens_out: int = 0,
        tokens_cached: int | None = None,
        kv_bytes: int = 0,
        busy_ms: int = 0,
        now_ms: int,
    ) -> None:
        """Settle what a turn has used, however it ended."""
        session.running -= 1
        session.tokens_in += tokens_in
        session.tokens_out += tokens_out
        session.busy_ms += busy_ms
        session.last_used_ms = now_ms
        if tokens_in:
            session.kv_warmth = min(1.0, (tokens_cached or 0) / tokens_in)
            session.kv_bytes = kv_bytes
        key = (session.identity, session.session_id)
        if self._sessions.get(key) is session:
            del self._sessions[key]
            self._sessions[key] = session

    def view(self, identity: str, session_id: str, now_ms: int) -> SessionView:
        """Return what a client may see; raises `SESSION_NOT_FOUND`."""
        session = self._live((identity, session_id), now_ms)
        if session is None:
            raise _not_found(session_id)
        return SessionView(
            session_id=session_id,
            ttl_ms_remaining=max(0, session.last_used_ms + self._limits.ttl_ms - now_ms),
            turns=session.turns,
            kv_bytes=session.kv_bytes,
            kv_warmth=session.kv_warmth,
            budgets=self.budgets(session),
            tokens_in=session.tokens_in,
            tokens_out=session.tokens_out,
        )

    def delete(self, identity: str, session_id: str, now_ms: int) -> None:
        """Forget a session; raises `SESSION_NOT_FOUND`."""
        if self._live((identity, session_id), now_ms) is None:
            raise _not_found(session_id)
        del self._sessions[identity, session_id]

    def budgets(self, session: Session) -> SessionBudgets:
        """Return what the session has left."""
        limits = self._limits
        spent = session.tokens_in + session.tokens_out
        return SessionBudgets(
            tokens_remaining=max(0, limits.token_budget - spent) if limits.token_budget else None,
            time_remaining_ms=max(0, limits.time_budget_ms - session.busy_ms)
            if limits.time_budget_ms
            else None,
        )

    def expire(self, now_ms: int) -> Iterator[tuple[str, str]]:
        """Drop what has outlived its time; yields (identity, session id)."""
        while self._sessions:
            key, session = next(iter(self._sessions.items()))
            if not self._expired(session, now_ms):
                return
            del self._sessions[key]
            yield key

    def _live(self, key: tuple[str, str], now_ms: int) -> Session | None:
        session = self._sessions.get(key)
        if session is None or self._expired(session, now_ms):
            return None
        return session

    def _expired(self, session: Session, now_ms: int) -> bool:
        return not session.running and session.last_used_ms + self._limits.ttl_ms <= now_ms

    def _check_budgets(self, session: Session) -> None:
        left = self.budgets(session)
        for name, rest in (
            ("token", left.tokens_remaining),
            ("time", left.time_remaining_ms),
        ):
            if rest == 0:
                raise ApiError(
                    ErrorCode.BUDGET_EXCEEDED,
                    f"the {name} budget of session {session.session_id} is spent",
                    hint="start another session, or DELETE this one to begin anew",
                    retriable=False,
                )


def _not_found(session_id: str) -> ApiError:
    return ApiError(
        ErrorCode.SESSION_NOT_FOUND,
        f"no session {session_id}: it never was, or its time to live has passed",
    )
