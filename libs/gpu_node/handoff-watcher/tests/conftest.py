from collections.abc import Callable
from typing import Any

import pytest

from handoff_watcher import HandoffPayload


@pytest.fixture
def make_payload() -> Callable[..., HandoffPayload]:
    def make(**changed: Any) -> HandoffPayload:
        fields = {
            "pool_id": "default",
            "replica_id": "r0",
            "engine": "llamacpp",
            "engine_version": "b1",
            "url": "http://127.0.0.1:4321",
            "slots": 4,
            "pid": 4242,
            "ctx_max": 4096,
            "model": {"id": "demo", "path": "/models/demo.gguf", "size_bytes": 10},
            "created_ms": 1,
        }
        return HandoffPayload.model_validate(fields | changed)

    return make
