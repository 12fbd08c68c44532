"""The optional scorer of placement: a task goes where it is likely to be done first.

Estimated are, all in seconds and from measurements: reading what of the prompt is not in a
replica's cache, the prompts that are to be read there before it, and writing the answer beside the
tasks that run there.
"""

from dataclasses import dataclass

from multi_node_placement.paces import Measured, Paces
from multi_node_placement.prefixes import PrefixIndex
from multi_node_placement.prompts import BLOCK_CHARS, Work
from orchestrator_core import Estimate, ReplicaKey, ReplicaView

NOMINATED = 8
"""So many of the warmest replicas are looked at for a task."""
ROOM_BLOCKS = 1_024
"""Of a cache whose size is not known."""


@dataclass(slots=True)
class _Bound:
    """A task on a replica."""

    key: ReplicaKey
    process: tuple[int, int | None]
    load: int
    unread_s: float


class TaskScorer:
    """The estimates for one task; made for one decision."""

    __slots__ = ("_decode_s", "_depths", "_others_cold", "_owner", "_read_s", "_work")

    def __init__(self, owner: "PrefixScorer", work: Work) -> None:
        self._owner = owner
        self._work = work
        self._depths = owner.prefixes.warmest(work.blocks, NOMINATED) if work.reuses else {}
        self._others_cold = len(self._depths) < NOMINATED
        self._read_s = owner.paces.prefill_s(work.model_id, 1.0)
        self._decode_s: dict[int, float] = {}
        """By the load, which is the same on most replicas."""

    @property
    def nominated(self) -> tuple[ReplicaKey, ...]:
        """The replicas that hold most of the prompt."""
        return tuple(self._depths)

    def __call__(self, view: ReplicaView, active: int) -> Estimate:
        """Estimate for a replica that runs so many tasks already."""
        owner, work = self._owner, self._work
        cached = 0
        if view.prompt_cache:
            depth = self._depths.get(view.key)
            if depth is None:
                depth = 0 if self._others_cold else owner.prefixes.depth(view.key, work.blocks)
            cached = depth * BLOCK_CHARS
        decode_s = self._decode_s.get(active)
        if decode_s is None:
            decode_s = owner.paces.decode_s(work.model_id, self._tokens(), active + 1)
            self._decode_s[active] = decode_s
        slowness = owner.paces.slowness(view.key)
        return Estimate(
            slowness * self._read_s * (work.chars - cached),
            owner.unread_s(view.key),
            slowness * decode_s,
        )

    def _tokens(self) -> float:
        work = self._work
        if work.tokens_out is not None:
            return work.tokens_out
        usual = self._owner.paces.answer_tokens(work.model_id)
        return usual if work.max_tokens is None else min(usual, work.max_tokens)


class PrefixScorer:
    """What is known of caches and paces. Nothing in it awaits or reads a clock."""

    def __init__(self) -> None:
        self.prefixes = PrefixIndex()
        self.paces = Paces()
        self._bound: dict[int, _Bound] = {}
        self._unread_s: dict[ReplicaKey, float] = {}

    def unread_s(self, key: ReplicaKey) -> float:
        """Tell how long a replica will read the prompts that it was given already."""
        return self._unread_s.get(key, 0.0)

    def bind(self, number: int, view: ReplicaView, work: Work, active: int) -> None:
        """Note that a task is sent to a replica, as one more than the active ones."""
        unread_s = TaskScorer(self, work)(view, active).prefill_s
        self._bound[number] = _Bound(view.key, view.process, active + 1, unread_s)
        self._add(view.key, unread_s)
        self._remember(view, work)

    def read(self, number: int) -> None:
        """Note that the first token of a task has come: its prompt has been read."""
        bound = self._bound.get(number)
        if bound is not None:
            self._add(bound.key, -bound.unread_s)
            bound.unread_s = 0.0

    def learn(self, number: int, view: ReplicaView | None, work: Work, took: Measured) -> None:
        """Count what a finished task took; `work` is its prompt together with its answer."""
        bound = self._bound.get(number)
        if bound is not None and view is not None and view.process == bound.process:
            self.paces.learn(view.key, work.model_id, took, bound.load)
            self._remember(view, work)

    def end(self, number: int) -> None:
        """Note that a task has left its replica, however it ended."""
        self.read(number)
        self._bound.pop(number, None)

    def forget(self, key: ReplicaKey) -> None:
        """Drop what is known of a replica that has gone, or whose engine is a new process."""
        self.prefixes.forget(key)
        self.paces.forget(key)

    def _add(self, key: ReplicaKey, unread_s: float) -> None:
        left_s = self._unread_s.get(key, 0.0) + unread_s
        if left_s > 1e-9:
            self._unread_s[key] = left_s
        else:
            self._unread_s.pop(key, None)

    def _remember(self, view: ReplicaView, work: Work) -> None:
        if view.prompt_cache and work.blocks:
            self.prefixes.remember(view.key, work.blocks, room=self._room(view, work.model_id))

    def _room(self, view: ReplicaView, model_id: str) -> int:
        """Tell how many blocks lie in the contexts of all slots of a replica."""
        if view.ctx_max is None:
            return ROOM_BLOCKS
        chars = self.paces.chars(model_id, view.ctx_max * view.slots_total)
        return ROOM_BLOCKS if chars is None else max(1, int(chars) // BLOCK_CHARS)
