"""What is particular to terminals: a line that is overwritten, and text made harmless."""

import io
import shutil
from types import TracebackType
from typing import Self, TextIO

_CLEAR_LINE = "\r\x1b[2K"
_ENTER_SCREEN, _LEAVE_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HARMLESS = str.maketrans(
    {c: None for c in (*range(0x20), *range(0x7F, 0xA0)) if chr(c) not in "\n\t"}
)


def harmless(text: str) -> str:
    """Return `text` without control characters: what a model wrote must not steer a terminal."""
    return text.translate(_HARMLESS)


def take_any_text(out: TextIO, *, as_utf8: bool) -> None:
    """Let every character be written: one that the terminal cannot show becomes a `?`.

    `as_utf8`: whatever the terminal, as JSON has to be.
    """
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(encoding="utf-8" if as_utf8 else None, errors="replace")


class StatusLine:
    """One line that tells what is going on; silent where `out` is no terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.visible = out.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        """Put `text` in place of the line shown before."""
        text = harmless(text)[: shutil.get_terminal_size().columns - 1]
        if self.visible and text != self._shown:
            self._out.write(_CLEAR_LINE + text)
            self._out.flush()
            self._shown = text

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._out.write(_CLEAR_LINE)
            self._out.flush()
            self._shown = ""


class Screen:
    """The whole terminal, given back as it was."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> Self:
        self._out.write(_ENTER_SCREEN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._out.write(_LEAVE_SCREEN)
        self._out.flush()

    def show(self, text: str) -> None:
        """Fill the screen with `text`, from the top and without flicker."""
        columns, rows = shutil.get_terminal_size()
        lines = [line[:columns] for line in text.splitlines()[:rows]]
        self._out.write("\x1b[H" + "\r\n".join(line + "\x1b[K" for line in lines) + "\x1b[J")
        self._out.flush()
