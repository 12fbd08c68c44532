"""In what engine kinds differ that speak OpenAI's dialect: data, no code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

RESPONSE_FORMAT = "response_format"
"""Where a JSON schema goes under OpenAI's own name: it is wrapped there as OpenAI has it."""

_OPENAI = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "logit_bias",
    "logprobs",
)
OPENAI_SAMPLING: Mapping[str, str] = MappingProxyType(
    {**{name: name for name in _OPENAI}, "json_schema": RESPONSE_FORMAT}
)
"""What OpenAI's own API has, and under which names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one engine kind takes; a sampling parameter that has no entry is refused by name."""

    name: str
    """As people call the engine, for messages."""
    sampling: Mapping[str, str] = field(default_factory=lambda: OPENAI_SAMPLING)
    """The contract's name → the engine's; a dot leads into an object."""
    always: Mapping[str, Any] = field(default_factory=dict)
    """Sent with every stream."""
    max_seed: int | None = 2**63 - 1
    """None where the engine takes no seed."""
    draws_seed: bool = True
    """Whether the adapter draws a seed that the client left out, so that it can be told."""
    counts_prompts: bool = False
    """An engine that cuts a prompt's answer at OpenAI's 16 tokens unless it is told more, and
    refuses more than there is room for: so the prompt is counted first."""
    cold_cache: str | None = None
    """The field that keeps a prompt from the cache: given False if `cache_prompt`, else a salt."""
    continues_messages: Mapping[str, Any] | None = None
    """What makes a chat go on behind its last message; None where the engine cannot."""
    either_way: bool = False
    """An engine that gives embeddings generates no text."""
    ranks_alone: bool = False
    """An engine that ranks gives noise as embeddings."""
    features: frozenset[str] = frozenset({"chat", "tools", "json_schema", "logprobs"})
