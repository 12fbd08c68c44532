"""How fast models read and write, as measured: what turns characters and tokens into seconds."""

from collections import defaultdict
from dataclasses import dataclass

from orchestrator_core import ReplicaKey

FADES = 0.98
"""What a measurement weighs when the next one has come: the last fifty count most."""
ALIKE = (0.8, 1.25)
"""A replica within these times its model's pace counts as fast as that: the rest is noise, and
would send every task to whoever was lucky last."""
DOUBT_S = 10.0
"""So much work has to be seen of a replica until it counts for half."""


class _Ratio:
    """Something per something, over the measurements of late."""

    __slots__ = ("_above", "_below", "value")

    def __init__(self, above: float = 0.0, below: float = 0.0) -> None:
        self._above, self._below = above, below
        self._divide()

    def add(self, above: float, below: float) -> None:
        self._above = FADES * self._above + above
        self._below = FADES * self._below + below
        self._divide()

    def _divide(self) -> None:
        """Read more often than added to, so worked out here."""
        self.value = self._above / self._below if self._below > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one finished task took."""

    chars: int
    """Of its prompt."""
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    prefill_s: float
    decode_s: float


class _Model:
    def __init__(self) -> None:
        self.prefill = _Ratio()
        self.decode: dict[int, _Ratio] = defaultdict(_Ratio)
        self.answer = _Ratio()
        self.density = _Ratio()


class Paces:
    """The pace of each model by what its replicas took, and of replicas that differ from it."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = defaultdict(_Model)
        self._replicas: dict[ReplicaKey, _Ratio] = defaultdict(lambda: _Ratio(DOUBT_S, DOUBT_S))

    def learn(self, key: ReplicaKey, model_id: str, took: Measured, load: int) -> None:
        """Count a task that began as the `load`-th on its replica."""
        model = self._models[model_id]
        read = took.chars * (1 - min(1.0, took.tokens_cached / max(1, took.tokens_in)))
        expected_s = self.prefill_s(model_id, read) + self.decode_s(model_id, took.tokens_out, load)
        model.prefill.add(took.prefill_s, read)
        model.decode[load].add(took.decode_s, took.tokens_out)
        model.answer.add(took.tokens_out, 1)
        model.density.add(took.chars, took.tokens_in)
        if expected_s > 0:
            self._replicas[key].add(took.prefill_s + took.decode_s, expected_s)

    def forget(self, key: ReplicaKey) -> None:
        """Drop what a replica has shown."""
        self._replicas.pop(key, None)

    def slowness(self, key: ReplicaKey) -> float:
        """Tell how many times longer than usual for its model a replica takes."""
        ratio = self._replicas.get(key)
        value = 1.0 if ratio is None else ratio.value
        return 1.0 if ALIKE[0] <= value <= ALIKE[1] else value

    def prefill_s(self, model_id: str, chars: float) -> float:
        """Tell how long reading so many characters takes; 0 without measurements."""
        model = self._models.get(model_id)
        return 0.0 if model is None else chars * model.prefill.value

    def decode_s(self, model_id: str, tokens: float, load: int) -> float:
        """Tell how long writing so many tokens takes beside other tasks; 0 without measurements.

        It is never quicker beside more of them, whatever a few measurements seem to say: by noise
        alone the busiest replica must not look like the best.
        """
        model = self._models.get(model_id)
        if model is None or not model.decode:
            return 0.0
        as_busy = [pace.value for known, pace in model.decode.items() if known <= load]
        return tokens * (max(as_busy) if as_busy else model.decode[min(model.decode)].value)

    def answer_tokens(self, model_id: str) -> float:
        """Tell how long an answer is as a rule; 0 without measurements."""
        model = self._models.get(model_id)
        return 0.0 if model is None else model.answer.value

    def chars(self, model_id: str, tokens: int) -> float | None:
        """Tell how many characters so many tokens are; None without measurements."""
        model = self._models.get(model_id)
        found = 0.0 if model is None else tokens * model.density.value
        return found or None
