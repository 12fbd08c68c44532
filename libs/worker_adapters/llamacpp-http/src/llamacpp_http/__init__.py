"""The adapter of llama.cpp's native HTTP API."""

from llamacpp_http.adapter import LlamaCppAdapter

__all__ = ["LlamaCppAdapter"]
