"""A tiny GGUF, made on the spot, that recites a known text through a real llama.cpp."""

from demo_model.gguf_file import CHAT_TEMPLATE, build, ensure
from demo_model.recital import DEMO, ENDLESS, RERANK, SLOW, Recital, Step, expected_relevance

__all__ = [
    "CHAT_TEMPLATE",
    "DEMO",
    "ENDLESS",
    "RERANK",
    "SLOW",
    "Recital",
    "Step",
    "build",
    "ensure",
    "expected_relevance",
]
