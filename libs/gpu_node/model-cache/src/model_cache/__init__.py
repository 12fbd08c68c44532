"""Stages model files in host RAM, so that an engine starts from memory instead of from disk."""

from model_cache.cache import ModelCache, default_budget_bytes
from model_cache.errors import CacheError, CacheTooSmall, NotStaged
from model_cache.pages import resident_bytes
from model_cache.ports import CacheObserver
from model_cache.types import CacheStatus, Method, Stage, StagedModel

__all__ = [
    "CacheError",
    "CacheObserver",
    "CacheStatus",
    "CacheTooSmall",
    "Method",
    "ModelCache",
    "NotStaged",
    "Stage",
    "StagedModel",
    "default_budget_bytes",
    "resident_bytes",
]
