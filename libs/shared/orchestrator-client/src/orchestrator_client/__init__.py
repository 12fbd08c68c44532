"""Typed client of the llama-orch API, async and sync, with resuming streams."""
