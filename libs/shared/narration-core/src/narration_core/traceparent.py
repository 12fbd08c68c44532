"""The W3C `traceparent` header (Trace Context, level 1): read, continue, write."""

import re
import secrets
from dataclasses import dataclass, replace
from typing import Self

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TraceParent:
    """One span's place in a trace."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @classmethod
    def new(cls, *, sampled: bool = False) -> Self:
        """Start a trace."""
        return cls(secrets.token_hex(16), secrets.token_hex(8), sampled)

    def child(self) -> Self:
        """Name a new span of the same trace, for the next hop."""
        return replace(self, span_id=secrets.token_hex(8))

    def header(self) -> str:
        """Write the header; flags other than `sampled` are not passed on, as the RFC asks."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(header: str | None) -> TraceParent | None:
    """Read a header; whatever the specification calls invalid is as good as none."""
    if header is None or (found := _HEADER.fullmatch(header.strip())) is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    invalid_version = version == "ff" or (version == "00" and rest is not None)
    if invalid_version or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceParent(trace_id, span_id, sampled=bool(int(flags, 16) & 1))
