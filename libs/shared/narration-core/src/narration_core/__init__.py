"""Structured logs with correlation ids, redaction and a human line."""

from narration_core.correlation import (
    Scope,
    accept_correlation_id,
    bind_correlation,
    current_correlation_id,
    current_scope,
    is_correlation_id,
    new_correlation_id,
)
from narration_core.redaction import REDACTED, is_content_key, is_secret_key, redact, redact_text
from narration_core.settings import LogFormat, LogLevel, LogSettings
from narration_core.setup import LineWriter, LogStream, configure, get_logger
from narration_core.story import NUMBER, Story
from narration_core.traceparent import TraceParent, parse_traceparent

__all__ = [
    "NUMBER",
    "REDACTED",
    "LineWriter",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "LogStream",
    "Scope",
    "Story",
    "TraceParent",
    "accept_correlation_id",
    "bind_correlation",
    "configure",
    "current_correlation_id",
    "current_scope",
    "get_logger",
    "is_content_key",
    "is_correlation_id",
    "is_secret_key",
    "new_correlation_id",
    "parse_traceparent",
    "redact",
    "redact_text",
]
