"""What a caller can break: expected results are values, these are not expected."""


class OrchestratorCoreError(Exception):
    """A broken contract between a caller and this library."""

    code = "INTERNAL"
    retriable = False


class DuplicateTask(OrchestratorCoreError):
    """The queue already holds a task with this id."""


class AdmissionOrder(OrchestratorCoreError):
    """Admission numbers must rise with every offer to a queue."""


class StaleDecision(OrchestratorCoreError):
    """The replicas changed since the decision: its reasons can no longer be told."""


class UnknownReplica(OrchestratorCoreError):
    """The index has no replica of this key."""


class AlreadySettled(OrchestratorCoreError):
    """A hold on a budget was settled twice."""
