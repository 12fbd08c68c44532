"""Sessions: counters, budgets and the time they live. They never hold text.

Past its turn limit or its time to live a session starts anew and cold; that is never an error.
A spent budget is one: `BUDGET_EXCEEDED`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from api_types import ApiError, ErrorCode, SessionBudgets, SessionView
from orchestrator_core import Budget, BudgetKind, BudgetLimits, Exceeded, Hold, Spend

_MICROS = 1_000_000
ALL_KINDS = tuple(BudgetKind)
UNPRICED_KINDS = (BudgetKind.TOKENS, BudgetKind.TIME_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """What a session may use; 0 means no limit."""

    ttl_ms: int = 600_000
    max_turns: int = 8
    token_budget: int = 0
    """Tokens in and out."""
    time_budget_ms: int = 0
    """Time on an engine."""
    cost_budget: float = 0
    """In the unit of the prices."""

    @property
    def budget(self) -> BudgetLimits:
        """The same as the core counts it."""
        return BudgetLimits(
            tokens=self.token_budget or None,
            time_ms=self.time_budget_ms or None,
            cost_micros=round(self.cost_budget * _MICROS) or None,
        )


@dataclass(slots=True)
class Session:
    """The counters of one session of one identity."""

    session_id: str
    identity: str
    last_used_ms: int
    budget: Budget
    turns: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    kv_warmth: float = 0.0
    """Share of the last prompt that the engine found in its cache."""
    kv_bytes: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One task of a session, until it is settled."""

    session: Session
    cold: bool
    hold: Hold
    price_per_1k: float | None = None
    """What 1,000 tokens cost; None: this turn costs nothing."""
    replaced: Session | None = None
    """The session of the same name that this turn has put an end to."""


def cost_micros(tokens: int, price_per_1k: float | None) -> int:
    """Return what so many tokens cost, rounded up."""
    return ceil(tokens * (price_per_1k or 0) * (_MICROS // 1_000))


class SessionTable:
    """All sessions, oldest use first, so that expiry looks only at the front."""

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._sessions: dict[tuple[str, str], Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin_turn(
        self,
        identity: str,
        session_id: str,
        *,
        expected_tokens: int,
        now_ms: int,
        price_per_1k: float | None = None,
    ) -> Turn:
        """Count a turn and hold what it may spend; raises `BUDGET_EXCEEDED`."""
        key = (identity, session_id)
        session = known = self._live(key, now_ms)
        if session is not None and 0 < self._limits.max_turns <= session.turns:
            session = None
        cold = session is None
        if session is None:
            budget = Budget(self._limits.budget)
            session = Session(session_id, identity, now_ms, budget)
        amount = Spend(
            tokens=expected_tokens, cost_micros=cost_micros(expected_tokens, price_per_1k)
        )
        kinds = UNPRICED_KINDS if price_per_1k is None else ALL_KINDS
        hold = session.budget.reserve(amount, kinds=kinds)
        if isinstance(hold, Exceeded):
            raise _exceeded(session_id, hold)
        session.turns += 1
        session.running += 1
        session.last_used_ms = now_ms
        self._move_to_end(key, session)
        return Turn(session, cold, hold, price_per_1k, known if cold else None)

    def take_back(self, turn: Turn) -> None:
        """Undo a turn whose task was refused after all."""
        turn.session.budget.settle(turn.hold, Spend())
        turn.session.running -= 1
        turn.session.turns -= 1
        key = (turn.session.identity, turn.session.session_id)
        if turn.cold and self._sessions.get(key) is turn.session:
            del self._sessions[key]
            if turn.replaced is not None:
                self._sessions[key] = turn.replaced

    def end_turn(
        self,
        turn: Turn,
        *,
        tokens_in: int,
        tokens_out: int,
        tokens_cached: int | None,
        kv_bytes: int,
        busy_ms: int,
        now_ms: int,
    ) -> None:
        """Settle what a turn has used, however it ended."""
        session = turn.session
        tokens = tokens_in + tokens_out
        spent = Spend(
            tokens=tokens, time_ms=busy_ms, cost_micros=cost_micros(tokens, turn.price_per_1k)
        )
        session.budget.settle(turn.hold, spent)
        session.running -= 1
        session.tokens_in += tokens_in
        session.tokens_out += tokens_out
        session.last_used_ms = now_ms
        if tokens_in:
            session.kv_warmth = min(1.0, (tokens_cached or 0) / tokens_in)
            session.kv_bytes = kv_bytes
        key = (session.identity, session.session_id)
        if self._sessions.get(key) is session:
            self._move_to_end(key, session)

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
        """Return what the session has left, what its running turns hold taken off."""
        left = session.budget.remaining
        cost = left.cost_micros
        return SessionBudgets(
            tokens_remaining=left.tokens,
            time_remaining_ms=left.time_ms,
            cost_remaining=None if cost is None else cost / _MICROS,
        )

    def turn_budgets(self, turn: Turn) -> SessionBudgets:
        """Return what is left of the budgets that apply to this turn."""
        left = self.budgets(turn.session)
        return left if turn.price_per_1k else left.model_copy(update={"cost_remaining": None})

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

    def _move_to_end(self, key: tuple[str, str], session: Session) -> None:
        self._sessions.pop(key, None)
        self._sessions[key] = session


def _exceeded(session_id: str, exceeded: Exceeded) -> ApiError:
    left = exceeded.remaining
    told = {
        BudgetKind.TOKENS: f"token budget of session {session_id} has {left} tokens left",
        BudgetKind.TIME_MS: f"time budget of session {session_id} has {left} ms left",
        BudgetKind.COST_MICROS: f"cost budget of session {session_id} has {left / _MICROS:g} left",
    }[exceeded.kind]
    return ApiError(
        ErrorCode.BUDGET_EXCEEDED,
        f"the {told}, which does not allow this task",
        hint="ask for fewer max_tokens, start another session, or DELETE this one to begin anew",
        retriable=False,
    )


def _not_found(session_id: str) -> ApiError:
    return ApiError(
        ErrorCode.SESSION_NOT_FOUND,
        f"no session {session_id}: it never was, or its time to live has passed",
    )
