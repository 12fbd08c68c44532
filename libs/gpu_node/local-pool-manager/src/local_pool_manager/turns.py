"""Whose turn it is on one swapping pool: the demand as last told, and the models that failed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from local_pool_manager.bringup import retry_pause_s
from local_pool_manager.swap import Decision, Demand, Residence, Stay, SwapRules, decide


@dataclass(frozen=True, slots=True)
class Failure:
    """A model that did not load."""

    reason: str
    count: int
    """How often in a row."""
    until_ms: int
    """It is not tried again before."""
    transient: bool = False
    """It may have had bad luck: tasks wait for one more try."""


@dataclass(frozen=True, slots=True)
class _Told:
    demand: Mapping[str, Demand]
    at_ms: int
    until_ms: int | None
    max_wait_ms: int | None


class Turns:
    """Keeps what `swap.decide` needs to know; time is told with each call."""

    def __init__(self, rules: SwapRules) -> None:
        self._rules = rules
        self._told: dict[str, _Told] = {}
        self._failures: dict[str, Failure] = {}

    def tell(
        self,
        demand: Mapping[str, Demand],
        now_ms: int,
        *,
        source: str = "",
        valid_ms: int | None = None,
        max_wait_ms: int | None = None,
    ) -> None:
        """Replace the wish list of a source; unless told again, it is forgotten after `valid_ms`.

        `max_wait_ms` stands in for the one of the rules as long as this source waits.
        """
        wishes = {model_id: wish for model_id, wish in demand.items() if wish.waiting}
        if not wishes:
            self._told.pop(source, None)
            return
        until_ms = None if valid_ms is None else now_ms + valid_ms
        self._told[source] = _Told(wishes, now_ms, until_ms, max_wait_ms)

    def failed(self, model_id: str, reason: str, now_ms: int, *, transient: bool = False) -> None:
        """Let a model that did not load rest, longer each time."""
        known = self._failures.get(model_id)
        count = known.count if known else 0
        pause_ms = round(1000 * retry_pause_s(count))
        hope = transient and not count
        self._failures[model_id] = Failure(reason, count + 1, now_ms + pause_ms, hope)

    def succeeded(self, model_id: str) -> None:
        """Forget the failures of a model."""
        self._failures.pop(model_id, None)

    def resting(self, now_ms: int) -> dict[str, Failure]:
        """Return the models that are not tried now."""
        return {
            model_id: failure
            for model_id, failure in self._failures.items()
            if failure.until_ms > now_ms
        }

    def demand(self, now_ms: int) -> dict[str, Demand]:
        """Return what is asked for by all sources, by the ages that the tasks have reached."""
        total: dict[str, Demand] = {}
        for told in self._valid(now_ms):
            for model_id, wish in told.demand.items():
                known = total.get(model_id, Demand(0, 0))
                age_ms = wish.oldest_ms + now_ms - told.at_ms
                total[model_id] = Demand(known.waiting + wish.waiting, max(known.oldest_ms, age_ms))
        return total

    def next_model(
        self, loaded: str | None, loadable: Mapping[str, str], now_ms: int
    ) -> str | None:
        """Return the model that comes after the loaded one, as things are; None: no other."""
        able = loadable.keys() - self.resting(now_ms).keys() - {loaded}
        others = {m: wish for m, wish in self.demand(now_ms).items() if m in able}
        return min(others, key=lambda m: (-others[m].oldest_ms, m), default=None)

    def decide(
        self, loaded: Residence | None, loadable: Mapping[str, str], now_ms: int
    ) -> Decision:
        """Return what to do now."""
        resting = self.resting(now_ms)
        able = [model_id for model_id in loadable if model_id not in resting]
        bounds = [told.max_wait_ms for told in self._valid(now_ms) if told.max_wait_ms is not None]
        rules = replace(self._rules, max_wait_ms=min(bounds)) if bounds else self._rules
        demand = self.demand(now_ms)
        decision = decide(rules, loaded, demand, loadable=able, now_ms=now_ms)
        if isinstance(decision, Stay):
            # A rest that ends is told, and a wish that is forgotten ends the use of its model.
            ends = [failure.until_ms for failure in resting.values()]
            ends += [told.until_ms for told in self._told.values() if told.until_ms is not None]
            again = [end - now_ms for end in ends if end > now_ms]
            if decision.again_ms is not None:
                again.append(decision.again_ms)
            return replace(decision, again_ms=min(again, default=None))
        return decision

    def _valid(self, now_ms: int) -> Iterator[_Told]:
        for told in self._told.values():
            if told.until_ms is None or told.until_ms > now_ms:
                yield told
