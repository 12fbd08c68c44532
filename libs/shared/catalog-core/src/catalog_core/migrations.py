"""Lifts an index that an earlier version wrote to the schema of this one."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

SCHEMA_VERSION = 2

Raw = dict[str, Any]


def migrate(raw: Raw, version: int) -> Raw:
    """The same index in this version's schema; the given one is not changed."""
    for step in range(version, SCHEMA_VERSION):
        raw = {**_STEPS[step](raw), "schema_version": step + 1}
    return raw


def _to_2(raw: Raw) -> Raw:
    """Version 2 knows files, formats, folders of fetches and removals under way.

    All of these have a default that is right for what version 1 could enter: one GGUF file that
    somebody else brought. Since when a model is Retired was not written down and stays unknown.
    """
    return {**raw, "removals": []}


_STEPS: Mapping[int, Callable[[Raw], Raw]] = MappingProxyType({1: _to_2})
