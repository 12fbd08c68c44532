"""Keeps secrets and prompts out of the logs.

One processor turns an event into plain JSON data. It names what it dropped, and it never calls
the `repr` of an object it does not know, because a request's `repr` holds its prompt.
"""

import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from uuid import UUID

from structlog.typing import EventDict, WrappedLogger

REDACTED = "[redacted]"
MAX_TEXT_CHARS = 8192
MAX_ITEMS = 100
MAX_DEPTH = 8

_SECRET_KEYS = frozenset(
    {
        *("api_key", "apikey", "auth", "authorization", "bearer", "cookie", "cookies"),
        *("credential", "credentials", "engine_key", "passphrase", "passwd", "password"),
        *("private_key", "proxy_authorization", "secret", "set_cookie", "signature", "token"),
    }
)
_SECRET_SUFFIXES = ("_api_key", "_cookie", "_password", "_private_key", "_secret", "_token")
# What users wrote and what engines answered. Under these names a number is only a count.
_CONTENT_KEYS = frozenset(
    {
        *("body", "completion", "content", "documents", "input", "inputs", "messages", "output"),
        *("prompt", "prompts", "query", "reasoning", "text", "texts", "tokens"),
    }
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# `token:ab12cd` is how an identity is named (a fingerprint of six digits): that one may stay.
_ASSIGNED = (
    r"((?:api[_-]?key|engine[_-]?key|token|secret|passw(?:or)?d|passphrase|signature|credentials?)"
    r"[\"']?\s*[=:]\s*[\"']?)(?![0-9a-f]{6}(?:\W|\Z))[^\s\"',;&}\])]+"
)
_CONTENT_NAMES = "|".join(sorted(_CONTENT_KEYS))
_JSON_CONTENT = rf"(\"(?:{_CONTENT_NAMES})\"\s*:\s*)(?:\"(?:[^\"\\]|\\.)*\"?|[\[{{].*)"
_HEADER = r"\b(authorization|cookie)(\W{1,4})[^\r\n\"']+"
_PEM_KEY = r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One look of a secret; `hints` are cheap to find, and without one the pattern cannot match."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str
    signs: str = ""
    """One of these characters must be there as well, if any are given."""


def _rule(hints: str, pattern: str, replacement: str = REDACTED, *, signs: str = "") -> _Rule:
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return _Rule(tuple(hints.split()), compiled, replacement, signs)


_RULES = (
    _rule("-----begin", _PEM_KEY),
    _rule("authorization cookie", _HEADER, rf"\1\2{REDACTED}"),
    _rule("bearer basic", r"\b(bearer|basic)\s+[^\s\"',;]+", rf"\1 {REDACTED}"),
    _rule("://", r"(://)[^\s/@:]*:[^\s/@]*@", rf"\1{REDACTED}@"),
    _rule("sk- pk- rk-", r"\b[spr]k-[\w-]{8,}"),
    _rule("hf_ gh github_pat_ xox", r"\b(?:hf_|gh[pousr]_|github_pat_|xox[a-z]-)[\w-]{8,}"),
    _rule("akia asia", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _rule("eyj", r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"),
    _rule(
        "key token secret passw passphrase signature credential",
        _ASSIGNED,
        rf"\1{REDACTED}",
        signs="=:",  # "the first token came after 3 ms" is in every task's lines
    ),
    _rule('"', _JSON_CONTENT, rf"\1{REDACTED}"),
)
_Hinted = Sequence[tuple[str, _Rule]]
_ALL_HINTED: _Hinted = tuple((hint, rule) for rule in _RULES for hint in rule.hints)
_UNSIGNED: _Hinted = tuple(pair for pair in _ALL_HINTED if not pair[1].signs)

plain_id = re.compile(r"[0-9a-f-]{1,256}").fullmatch
"""Finds texts of hex digits and dashes alone, as the ids that we make are. They are shown and
written as they are: every look of a secret has other letters, and JSON escapes none of these."""
_SHOWN_AS_TEXT = (UUID, PurePath, Decimal, date, timedelta)
_IDS = re.compile(
    r"\b(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?:sha256:)?[0-9a-f]{32,64})\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def is_secret_key(key: str) -> bool:
    """Tell whether what stands under this name must not be logged, whatever it is."""
    name = _CAMEL.sub("_", key).lower().replace("-", "_")
    return name in _SECRET_KEYS or name.endswith(_SECRET_SUFFIXES)


@lru_cache(maxsize=1024)
def is_content_key(key: str) -> bool:
    """Tell whether texts and lists under this name are a user's words or an engine's answer."""
    return _CAMEL.sub("_", key).lower().replace("-", "_") in _CONTENT_KEYS


@lru_cache(maxsize=1024)
def is_open_key(key: str) -> bool:
    """Tell whether a text under this name is shown, but for secrets inside it."""
    return not is_secret_key(key) and not is_content_key(key)


def redact_text(text: str) -> str:
    """Blank what looks like a secret inside a text, and shorten the text to its limit."""
    return _scrub(text, _ALL_HINTED)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Turn an event into plain JSON data without secrets, prompts or answers (a processor)."""
    # One look at all short texts together finds which rules could matter: for most lines none.
    # The time is our own, and its colons would look like an assignment's.
    texts = [v for key, v in event.items() if type(v) is str and key != "timestamp"]
    together = " ".join(texts).lower()
    assigns = "=" in together or ":" in together
    hinted = [pair for pair in (_ALL_HINTED if assigns else _UNSIGNED) if pair[0] in together]
    plain: EventDict = {}
    for key, value in event.items():
        # The common kinds of values first: several lines are written for every task.
        kind = type(value)
        if kind is str and is_open_key(key):
            short = not hinted and len(value) <= MAX_TEXT_CHARS
            plain[key] = value if short else _scrub(value, hinted)
        elif value is None or (kind is int and is_open_key(key)):
            plain[key] = value
        else:
            plain[key] = _plain(key, value, 0)
    if isinstance(human := plain.get("human"), str):
        plain["human"] = _IDS.sub("…", human)
    return plain


def _scrub(text: str, hinted: _Hinted) -> str:
    length = len(text)
    if hinted:
        # Looked through further than it is shown, since a secret cut in two is not recognised.
        text = text[: 2 * MAX_TEXT_CHARS]
        lowered = text.lower()
        for hint, rule in hinted:
            if hint in lowered and (not rule.signs or any(sign in text for sign in rule.signs)):
                text = rule.pattern.sub(rule.replacement, text)
    if length <= MAX_TEXT_CHARS:
        return text
    return f"{text[:MAX_TEXT_CHARS]}… ({length} characters)"


def _plain(key: str, value: object, depth: int) -> object:
    """Reduce one value; `key` is the name it stands under, empty inside a list."""
    if value is None or value is True or value is False:
        return value
    if is_secret_key(key):
        return REDACTED
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if is_content_key(key):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, _SHOWN_AS_TEXT):
        return redact_text(str(value))
    if isinstance(value, BaseException):
        return redact_text(f"{type(value).__name__}: {value}")
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if depth < MAX_DEPTH and isinstance(value, Sequence | Set):
        items = [_plain("", item, depth + 1) for item in islice(value, MAX_ITEMS)]
        return items if len(value) <= MAX_ITEMS else [*items, f"… ({len(value)} items)"]
    return f"<{type(value).__name__}>"


def _plain_mapping(value: Mapping[object, object], depth: int) -> dict[str, object]:
    plain: dict[str, object] = {}
    for number, (key, item) in enumerate(value.items()):
        if number == MAX_ITEMS:
            plain["…"] = f"({len(value)} items)"
            break
        name = key if isinstance(key, str) else str(_plain("", key, depth + 1))
        plain[redact_text(name)] = _plain(name, item, depth + 1)
    return plain
