"""The exit codes of llorch."""

from enum import IntEnum


class Exit(IntEnum):
    """What a script may rely on; 2 is also argparse's."""

    OK = 0
    FAILED = 1
    """The server refused, or the task ended with an error."""
    USAGE = 2
    UNREACHABLE = 3
    """No connection, or one that broke and did not come back."""
    INTERRUPTED = 130
    BROKEN_PIPE = 141
