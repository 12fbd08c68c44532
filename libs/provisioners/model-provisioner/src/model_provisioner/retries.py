"""When to try again, and after which pause."""

from model_provisioner.errors import SourceError
from model_provisioner.settings import FetchSettings


class InterruptedFetchError(SourceError):
    """The source broke off or asked to come later; another attempt may help."""

    def __init__(self, place: str, reason: str, *, wait_s: float | None = None) -> None:
        retry_after_ms = None if wait_s is None else round(wait_s * 1000)
        super().__init__(place, reason, retriable=True, retry_after_ms=retry_after_ms)
        self.wait_s = wait_s


class Patience:
    """Counts attempts since the last one that brought something new."""

    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._attempts = 0
        self._best = 0

    def saw(self, progress: int) -> None:
        """Bytes never had before begin the count anew; the same ones again do not."""
        if progress > self._best:
            self._best = progress
            self._attempts = 0

    def pause_s(self, error: InterruptedFetchError) -> float:
        """How long to wait before the next attempt; raises the error when patience ends."""
        self._attempts += 1
        wanted_s = error.wait_s or 0.0
        if self._attempts >= self._settings.attempts or wanted_s > self._settings.longest_pause_s:
            raise error
        backoff_s = self._settings.first_pause_s * 2.0 ** (self._attempts - 1)
        return max(wanted_s, min(backoff_s, self._settings.longest_pause_s))


def retry_after_s(header: str | None) -> float | None:
    """The seconds of a Retry-After header; its form with a date is left to the backoff."""
    text = (header or "").strip()
    return float(text) if text.isascii() and text.isdecimal() else None
