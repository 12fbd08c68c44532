"""The adapter of engines that speak OpenAI's HTTP API."""

from openai_http.adapter import OpenAiAdapter
from openai_http.kinds import KINDS, LLAMACPP, OLLAMA, OPENAI, SGLANG, TGI, dialect_of

__all__ = [
    "KINDS",
    "LLAMACPP",
    "OLLAMA",
    "OPENAI",
    "SGLANG",
    "TGI",
    "OpenAiAdapter",
    "dialect_of",
]
