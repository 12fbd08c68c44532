"""Whose turn it is on one swapping pool: the demand as last told, and the models that failed."""

from collections.abc import Mapping
from dataclasses import replace

from local_pool_manager.bringup import retry_pause_s
from local_pool_manager.swap import Decision, Demand, Residence, Stay, SwapRules, decide


class Turns:
    """Keeps what `swap.decide` needs to know; time is told with each call."""

    def __init__(self, rules: SwapRules) -> None:
        self._rules = rules
        self._demand: Mapping[str, Demand] = {}
        self._told_ms = 0
        self._failures: dict[str, tuple[int, int]] = {}
        """Of each model that failed to load: how often in a row, and until when it rests."""

    def tell(self, demand: Mapping[str, Demand], now_ms: int) -> None:
        """Replace the wish list."""
        self._demand, self._told_ms = dict(demand), now_ms

    def failed(self, model_id: str, now_ms: int) -> None:
        """Let a model that did not load rest, longer each time."""
        count, _ = self._failures.get(model_id, (0, 0))
        pause_ms = round(1000 * retry_pause_s(count))
        self._failures[model_id] = count + 1, now_ms + pause_ms

    def succeeded(self, model_id: str) -> None:
        """Forget the failures of a model."""
        self._failures.pop(model_id, None)

    def decide(
        self, loaded: Residence | None, loadable: Mapping[str, str], now_ms: int
    ) -> Decision:
        """Return what to do now, by the ages that the tasks have reached since they were told."""
        age_ms = now_ms - self._told_ms
        demand = {
            model_id: replace(wish, oldest_ms=wish.oldest_ms + age_ms)
            for model_id, wish in self._demand.items()
        }
        rest = {model_id: until for model_id, (_, until) in self._failures.items()}
        able = [model_id for model_id in loadable if rest.get(model_id, 0) <= now_ms]
        decision = decide(self._rules, loaded, demand, loadable=able, now_ms=now_ms)
        resting = [
            until - now_ms
            for model_id, until in rest.items()
            if until > now_ms and demand.get(model_id, Demand(0, 0)).waiting
        ]
        if isinstance(decision, Stay) and resting:
            again = [decision.again_ms] if decision.again_ms is not None else []
            return replace(decision, again_ms=min([*again, *resting]))
        return decision
