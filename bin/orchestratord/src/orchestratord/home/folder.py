"""The folder in which HOME keeps everything: looked at before anything is started."""

import tempfile
from pathlib import Path


class HomeNotUsable(OSError):
    """Nothing can be kept there."""


def prepare_home(home: Path) -> None:
    """Make the folder if need be, and see whether it can be written; raises HomeNotUsable."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return
    except OSError as error:
        reason = "it is no folder" if home.is_file() else error.strerror or str(error)
        raise HomeNotUsable(
            f"nothing can be kept in {home}: {reason}; make it writable, or name another folder "
            "with --home or LLORCH_HOME"
        ) from error
