"""The pure heart of the control plane: queue, placement policy, estimates, budgets."""

from orchestrator_core.budgets import Budget, BudgetKind, BudgetLimits, Exceeded, Hold, Spend
from orchestrator_core.constraint import ANYWHERE, Constraint, Preferences
from orchestrator_core.errors import (
    AdmissionOrder,
    AlreadySettled,
    DuplicateTask,
    OrchestratorCoreError,
    StaleDecision,
    UnknownReplica,
)
from orchestrator_core.estimates import (
    DrainRate,
    ServiceTimes,
    deadline_feasible,
    finish_ms,
    on_time_probability,
    predicted_start_ms,
    start_ms,
)
from orchestrator_core.explanation import Candidate, Explanation
from orchestrator_core.feasibility import Refusal, Servable, When, could_serve, may_load
from orchestrator_core.policy import (
    Outcome,
    PlacementDecision,
    PlacementInput,
    decide,
)
from orchestrator_core.queue import ModelQueue
from orchestrator_core.replica_index import ReplicaIndex
from orchestrator_core.replicas import PoolRef, ReplicaKey, ReplicaView
from orchestrator_core.scoring import Estimate, Scorer
from orchestrator_core.waiting import (
    Admission,
    Admitted,
    ByteBudget,
    Expired,
    ExpiredBecause,
    FullPolicy,
    QueuedTask,
    QueueLimits,
    Refused,
    RefusedBecause,
)

__all__ = [
    "ANYWHERE",
    "Admission",
    "AdmissionOrder",
    "Admitted",
    "AlreadySettled",
    "Budget",
    "BudgetKind",
    "BudgetLimits",
    "ByteBudget",
    "Candidate",
    "Constraint",
    "DrainRate",
    "DuplicateTask",
    "Estimate",
    "Exceeded",
    "Expired",
    "ExpiredBecause",
    "Explanation",
    "FullPolicy",
    "Hold",
    "ModelQueue",
    "OrchestratorCoreError",
    "Outcome",
    "PlacementDecision",
    "PlacementInput",
    "PoolRef",
    "Preferences",
    "QueueLimits",
    "QueuedTask",
    "Refusal",
    "Refused",
    "RefusedBecause",
    "ReplicaIndex",
    "ReplicaKey",
    "ReplicaView",
    "Scorer",
    "Servable",
    "ServiceTimes",
    "Spend",
    "StaleDecision",
    "UnknownReplica",
    "When",
    "could_serve",
    "deadline_feasible",
    "decide",
    "finish_ms",
    "may_load",
    "on_time_probability",
    "predicted_start_ms",
    "start_ms",
]
