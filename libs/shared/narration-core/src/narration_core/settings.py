"""What a program says about its logs, and about itself in them."""

from dataclasses import dataclass
from typing import Literal

LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How to log and who logs; `auto` is `console` on a terminal and `json` elsewhere."""

    format: LogFormat = "auto"
    level: LogLevel = "info"
    service: str = ""
    node_id: str = ""
    machine_id: str = ""
