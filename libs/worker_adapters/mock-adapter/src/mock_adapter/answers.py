"""Deterministic answers for the workloads that do not decode."""

import hashlib
from typing import Any

from adapter_api import EngineRequest, Result

EMBEDDING_LENGTH = 8


def prompt_text(request: EngineRequest) -> str:
    """The text of a request, whichever way it came."""
    if request.prompt is not None:
        return request.prompt
    if request.messages:
        content = request.messages[-1].get("content")
        if isinstance(content, str):
            return content
    return " ".join(request.inputs or ())


def embedding(text: str) -> list[float]:
    """The same text gives the same numbers, in [-1, 1]."""
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 127.5 - 1.0 for byte in digest[:EMBEDDING_LENGTH]]


def ranking(query: str, documents: list[str]) -> list[dict[str, Any]]:
    """Documents by the share of the query's words they hold, best first."""
    wanted = set(query.lower().split())
    scored = [
        {
            "index": index,
            "relevance_score": len(wanted & set(document.lower().split())) / max(1, len(wanted)),
        }
        for index, document in enumerate(documents)
    ]
    return sorted(scored, key=lambda entry: -entry["relevance_score"])


def answer(request: EngineRequest) -> Result:
    """The result of an embedding or a rerank request."""
    inputs = list(request.inputs or ())
    if request.workload == "rerank":
        return Result({"ranking": ranking(request.query or "", inputs)})
    return Result({"embeddings": [embedding(text) for text in inputs]})
