"""What the JSON schemas of requests say beyond their fields: what goes together, and examples."""

from collections.abc import Iterable

from pydantic import JsonValue

Schema = dict[str, JsonValue]


def _branch(required: Iterable[str], absent: Iterable[str] = (), **fields: Schema) -> Schema:
    nulls: dict[str, JsonValue] = {name: {"type": "null"} for name in absent}
    return {"required": list(required), "properties": {**fields, **nulls}}


_TEXT: Schema = {"type": "string"}
_LIST: Schema = {"type": "array"}

TASK_REQUEST_BRANCHES: list[JsonValue] = [
    _branch(
        ["prompt"],
        ["messages", "inputs", "query", "tools", "tool_choice"],
        prompt=_TEXT,
        workload={"const": "completion"},
    ),
    _branch(
        ["messages"],
        ["prompt", "inputs", "query", "tool_choice"],
        messages=_LIST,
        workload={"const": "completion"},
    ),
    _branch(
        ["messages", "tools", "tool_choice"],
        ["prompt", "inputs", "query"],
        messages=_LIST,
        tools=_LIST,
        tool_choice={"type": ["string", "object"]},
        workload={"const": "completion"},
    ),
    _branch(
        ["inputs", "workload"],
        ["prompt", "messages", "query", "tools", "tool_choice"],
        inputs=_LIST,
        workload={"const": "embedding"},
    ),
    _branch(
        ["inputs", "workload", "query"],
        ["prompt", "messages", "tools", "tool_choice"],
        inputs=_LIST,
        query=_TEXT,
        workload={"const": "rerank"},
    ),
]
PLACEMENT_BRANCHES: list[JsonValue] = [
    _branch([], ["pin_pool_id"], mode={"enum": ["auto", "prefer"]}),
    _branch(["mode", "pin_pool_id"], mode={"const": "pin"}, pin_pool_id=_TEXT),
    _branch(["mode", "node_id"], ["pin_pool_id"], mode={"const": "pin"}, node_id=_TEXT),
]
SAMPLING_BRANCHES: list[JsonValue] = [_branch([], ["grammar"]), _branch([], ["json_schema"])]

SAMPLING_EXAMPLES: list[JsonValue] = [
    {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "repeat_penalty": 1.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logit_bias": {"15043": -100.0},
        "logprobs": 5,
        "stop": ["\n\n"],
        "grammar": 'root ::= "yes" | "no"',
    },
    {"temperature": 0.0, "json_schema": {"type": "object", "required": ["answer"]}},
]

PLACEMENT_EXAMPLES: list[JsonValue] = [
    {
        "mode": "prefer",
        "prefer_pools": ["default"],
        "avoid_pools": ["node-b:batch"],
        "prefer_labels": {"zone": "a"},
        "spread_by": "zone",
        "require_device_mask": "0,1",
        "allow_fallback": False,
    },
    {"mode": "pin", "pin_pool_id": "node-a:default", "node_id": "node-a"},
]

TASK_REQUEST_EXAMPLES: list[JsonValue] = [
    {"prompt": "Say it.", "max_tokens": 64},
    {
        "task_id": "2f1c8a52-6d0e-4b0a-9d4e-0c5d8f3a7b11",
        "model_ref": "demo",
        "prompt": "Say it.",
        "session_id": "chat-7",
        "workload": "completion",
        "engine": "llamacpp",
        "ctx": 4096,
        "priority": "batch",
        "max_tokens": 64,
        "deadline_ms": 30000,
        "expected_tokens": 40,
        "seed": 7,
        "determinism": "strict",
        "sampling": {"temperature": 0.7},
        "kv_hint": "cold",
        "placement": {"mode": "pin", "pin_pool_id": "default"},
        "on_worker_loss": "restart",
        "on_disconnect": "cancel",
        "labels": {"team": "search"},
    },
    {
        "messages": [
            {"role": "system", "content": "Answer briefly."},
            {"role": "user", "content": [{"type": "text", "text": "How warm is it?"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "temperature"}}],
        "tool_choice": "auto",
    },
    {"workload": "embedding", "inputs": ["one text", "another"]},
    {"workload": "rerank", "inputs": ["one text", "another"], "query": "which?"},
]
