"""Binds a replica to its adapter, and keeps a circuit breaker for each."""

from adapter_host.breaker import Breaker, BreakerPolicy, BreakerState, Outcome, Ticket
from adapter_host.errors import AdapterHostError, BreakerOpen, NotBound
from adapter_host.host import AdapterHost, Call, outcome_of
from adapter_host.keys import ReplicaKey

__all__ = [
    "AdapterHost",
    "AdapterHostError",
    "Breaker",
    "BreakerOpen",
    "BreakerPolicy",
    "BreakerState",
    "Call",
    "NotBound",
    "Outcome",
    "ReplicaKey",
    "Ticket",
    "outcome_of",
]
