"""The adapter of vLLM's HTTP API."""

from vllm_http.adapter import VLLM, VllmAdapter
from vllm_http.metrics import EngineLoad, engine_load

__all__ = ["VLLM", "EngineLoad", "VllmAdapter", "engine_load"]
