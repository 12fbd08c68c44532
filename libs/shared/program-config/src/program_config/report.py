"""`config show`: the effective values, each with its source."""

import json
from collections.abc import Iterator
from typing import Any

from program_config.load import Loaded
from program_config.schema import S, Schema

MASK = "********"


def describe(schema: Schema[S], loaded: Loaded[S]) -> Iterator[str]:
    """Yield a line `name = value  # source` for each setting; secrets are masked."""
    plain = loaded.settings.model_dump(mode="json")
    for name in schema.settings.model_fields:
        shown = _masked(plain[name]) if name in schema.secret else plain[name]
        yield f"{name} = {json.dumps(shown)}  # {loaded.origins[name]}"


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return [MASK for _ in value]
    return value if value is None else MASK
