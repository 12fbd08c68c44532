"""The surface for clients of OpenAI's API: it translates at the edge, and the rest is the same."""

from orchestratord.openai.errors import PREFIX, openai_answer
from orchestratord.openai.handlers import OpenAiHandlers
from orchestratord.openai.routes import V1_ROUTES
from orchestratord.openai.translate import edge_headers, read_chat

__all__ = [
    "PREFIX",
    "V1_ROUTES",
    "OpenAiHandlers",
    "edge_headers",
    "openai_answer",
    "read_chat",
]
