"""How a machine is called when nobody has named it."""

import re
import socket
from pathlib import Path


def default_node_id() -> str:
    """Return the host name as an id."""
    name = re.sub(r"[^a-z0-9._-]+", "-", socket.gethostname().lower()).strip("._-")[:63]
    return name or "localhost"


def default_machine_id() -> str:
    """Return what the operating system calls this installation."""
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()[:128] or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"
