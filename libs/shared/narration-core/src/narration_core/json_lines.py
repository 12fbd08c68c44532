"""The way past the pipeline, for lines whose members are JSON already."""

from collections.abc import Mapping

from narration_core.pipeline import place, render_json
from narration_core.redaction import redact
from narration_core.settings import LogSettings
from narration_core.writing import LineWriter


class JsonLines:
    """What all lines of a process have in common; `level` is the number of the least."""

    def __init__(self, settings: LogSettings, *, level: int, writer: LineWriter) -> None:
        self.level = level
        self.writer = writer
        self.place = self.members(place(settings))

    def members(self, fields: Mapping[str, object]) -> str:
        """Write what may be shown of fields as it stands inside a line, behind a comma."""
        plain = redact(None, "", dict(fields))
        return f",{render_json(None, '', plain)[1:-1]}" if plain else ""
