"""The life of a lease: which stimulus leads where, as data."""

from enum import StrEnum
from types import MappingProxyType

from service_registry.types import LeaseState


class Stimulus(StrEnum):
    """What can happen to a lease."""

    REGISTERED = "registered"
    HEARD = "heard"
    EXPIRED = "expired"
    SUSPICION_RAISED = "suspicion raised"
    SUSPICION_ENDED = "suspicion ended"
    REMOVED = "removed"
    FORGOTTEN = "forgotten"


TRANSITIONS = MappingProxyType(
    {
        (None, Stimulus.REGISTERED): LeaseState.ONLINE,
        (LeaseState.ONLINE, Stimulus.REGISTERED): LeaseState.ONLINE,
        (LeaseState.ONLINE, Stimulus.HEARD): LeaseState.ONLINE,
        (LeaseState.ONLINE, Stimulus.EXPIRED): LeaseState.OFFLINE,
        (LeaseState.ONLINE, Stimulus.REMOVED): None,
        (LeaseState.OFFLINE, Stimulus.REGISTERED): LeaseState.ONLINE,
        (LeaseState.OFFLINE, Stimulus.HEARD): LeaseState.ONLINE,
        (LeaseState.OFFLINE, Stimulus.SUSPICION_RAISED): LeaseState.SUSPECTED,
        (LeaseState.OFFLINE, Stimulus.REMOVED): None,
        (LeaseState.OFFLINE, Stimulus.FORGOTTEN): None,
        (LeaseState.SUSPECTED, Stimulus.REGISTERED): LeaseState.ONLINE,
        (LeaseState.SUSPECTED, Stimulus.HEARD): LeaseState.ONLINE,
        (LeaseState.SUSPECTED, Stimulus.SUSPICION_ENDED): LeaseState.OFFLINE,
        (LeaseState.SUSPECTED, Stimulus.REMOVED): None,
    }
)
"""None stands for no lease. A suspected node is never forgotten: there is no such row."""


def step(state: LeaseState | None, stimulus: Stimulus) -> LeaseState | None:
    """Return the next state; raises KeyError where the table has no row."""
    return TRANSITIONS[state, stimulus]
