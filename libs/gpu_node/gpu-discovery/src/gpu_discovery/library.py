"""NVIDIA's library, which a machine without a GPU does not have."""

import ctypes

from gpu_discovery.ports import NvmlError

LIBRARY = "libnvidia-ml.so.1"


def load_library() -> None:
    """Load it, for the whole process; raises NvmlError with the loader's reason.

    Ask this before NVIDIA's binding: that hides the reason, and to import it takes time and memory
    that a machine without a GPU need not spend.
    """
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        reason = str(error).removeprefix(f"{LIBRARY}: ")
        raise NvmlError(f"{LIBRARY} not found: {reason}") from error
