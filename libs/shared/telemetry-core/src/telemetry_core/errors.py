"""Mistakes in the use of a metric: a programmer's, told at once and never by traffic."""


class TelemetryError(Exception):
    """Any misuse of this library."""


class UnknownMetricError(TelemetryError):
    """The contract has no such metric for this program, or it is of another kind."""


class WrongLabelsError(TelemetryError):
    """The labels given are not those of the contract."""
