"""Whole lines to a stream, those of one turn of an event loop in one piece."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class LogStream(Protocol):
    """Where lines go: a text file, standard error."""

    def write(self, text: str, /) -> object:
        """Take a line."""
        ...

    def flush(self) -> object:
        """Pass on what was taken."""
        ...


class LineWriter:
    """Writes whole lines; a stream that fails loses lines, which are counted, and nothing else.

    A program started with a closed standard error has no stream at all.
    """

    def __init__(self, stream: LogStream | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._later: Callable[[Callable[[], None]], object] | None = None
        self._thread: int | None = None
        self.take: Callable[[str], None] = self._waiting.append
        """Takes a line, from any thread; unless `due` is true afterwards, say `taken()`."""
        self.due = False
        """Whether what waits will be written at the end of the turn."""
        self.dropped_lines = 0

    @contextmanager
    def gathering(self, later: Callable[[Callable[[], None]], object]) -> Iterator[None]:
        """Write the lines that this thread has told in one turn of its event loop in one piece.

        `later` is the loop's `call_soon`. Lines of other threads are written at once.
        """
        self._later, self._thread = later, threading.get_ident()
        try:
            yield
        finally:
            self._later = self._thread = None
            self.flush()

    def taken(self) -> None:
        """Have what was taken written: at the end of the turn, or now."""
        if self._later is not None and threading.get_ident() == self._thread:
            if not self.due:
                self.due = True
                self._later(self.flush)
        else:
            self.flush()

    def msg(self, line: str) -> None:
        """Write one line, now or with all others of this turn."""
        self.take(line)
        self.taken()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            # Before the lines are fetched: who takes one later sees that nobody waits for it.
            self.due = False
            lines = self._waiting[:]
            del self._waiting[: len(lines)]
            if not lines:
                return
            try:
                if self._stream is None:
                    self.dropped_lines += len(lines)
                else:
                    self._stream.write("\n".join(lines) + "\n")
                    self._stream.flush()
            except (OSError, ValueError):
                self.dropped_lines += len(lines)

    def is_terminal(self) -> bool:
        """Tell whether a person reads along."""
        try:
            return bool(getattr(self._stream, "isatty", bool)())
        except ValueError:  # The stream is closed.
            return False

    debug = info = warning = warn = error = critical = exception = fatal = log = msg
