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
from narration_core.setup import configure, get_logger
from narration_core.story import Story, Subject, Wording
from narration_core.traceparent import TraceParent, parse_traceparent
from narration_core.writing import LineWriter, LogStream

__all__ = [
    "REDACTED",
    "LineWriter",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "LogStream",
    "Scope",
    "Story",
    "Subject",
    "TraceParent",
    "Wording",
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
