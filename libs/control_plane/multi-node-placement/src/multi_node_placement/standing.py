"""What follows from the replicas as they stand, whatever they have to do at the moment."""

from collections.abc import Mapping
from typing import TypeVar

from multi_node_placement.models import ServedModel, summed_up
from orchestrator_core import Constraint, ReplicaIndex, Servable, When, could_serve

Answer = TypeVar("Answer")
_REMEMBERED = 1024
"""Constraints; clients choose what is in them."""


class Standing:
    """Answers that change with a report and not with a task, worked out once until then."""

    def __init__(self, index: ReplicaIndex) -> None:
        self._index = index
        self._slots_for: dict[Constraint, int] = {}
        self._servable: dict[Constraint, Servable] = {}
        self._models: dict[str, ServedModel] | None = None

    def changed(self) -> None:
        """Forget all, for a replica is no longer what it was."""
        self._slots_for.clear()
        self._servable.clear()
        self._models = None

    def models(self) -> Mapping[str, ServedModel]:
        """Sum up every model that is or could be served; another object after a change."""
        if self._models is None:
            self._models = summed_up(self._index)
        return self._models

    def could_serve(self, constraint: Constraint) -> Servable:
        """Tell whether waiting makes sense."""
        found = self._servable.get(constraint)
        if found is None:
            having_it = could_serve(constraint, self._index.of_model(constraint.model_id))
            now = having_it.when is When.NOW
            found = having_it if now else could_serve(constraint, self._index)
            _remember(self._servable, constraint, found)
        return found

    def slots_for(self, constraint: Constraint) -> int:
        """Count the slots of the replicas that may serve."""
        found = self._slots_for.get(constraint)
        if found is None:
            found = self._index.slots_for(constraint)
            _remember(self._slots_for, constraint, found)
        return found

    def check_invariants(self) -> None:
        """Assert that what is remembered is what a new look gives; for tests."""
        anew = Standing(self._index)
        for constraint, servable in self._servable.items():
            assert servable == anew.could_serve(constraint)
        for constraint, slots in self._slots_for.items():
            assert slots == anew.slots_for(constraint)


def _remember(known: dict[Constraint, Answer], constraint: Constraint, found: Answer) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[constraint] = found
