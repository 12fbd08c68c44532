"""A scriptable engine with faults, for tests and demonstrations."""

from mock_adapter.adapter import MockAdapter
from mock_adapter.script import Script

__all__ = ["MockAdapter", "Script"]
