"""Why a call cannot be begun."""

from adapter_host.keys import ReplicaKey


class AdapterHostError(Exception):
    """Base of this library's errors."""

    code = "POOL_UNAVAILABLE"
    retriable = True

    def __init__(self, key: ReplicaKey, message: str) -> None:
        super().__init__(f"{message}: {key}")
        self.key = key


class NotBound(AdapterHostError):
    """No adapter is bound to this replica."""

    def __init__(self, key: ReplicaKey) -> None:
        super().__init__(key, "no adapter is bound to the replica")


class BreakerOpen(AdapterHostError):
    """The replica failed too often and is left alone for a while."""

    def __init__(self, key: ReplicaKey) -> None:
        super().__init__(key, "the replica failed too often and is left alone for a while")
