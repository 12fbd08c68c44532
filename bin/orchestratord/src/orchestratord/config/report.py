"""`config show`: the effective values, each with its source."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

from orchestratord.config.load import Loaded

MASK = "********"


def describe(loaded: Loaded) -> Iterator[str]:
    """Yield a line `name = value  # source` for each setting; secrets are masked."""
    plain = loaded.settings.model_dump(mode="json")
    for name in type(loaded.settings).model_fields:
        value = getattr(loaded.settings, name)
        shown = _masked(value) if _is_secret(value) else plain[name]
        yield f"{name} = {json.dumps(shown)}  # {loaded.origins[name]}"


def _is_secret(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(item, SecretStr) for item in value)


def _masked(value: Any) -> list[str]:
    return [MASK for _ in value]
