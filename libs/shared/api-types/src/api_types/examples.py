"""Requests as a client may write them: they stand in the OpenAPI document and in golden files."""

from pydantic import JsonValue

SAMPLINGS: list[JsonValue] = [
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

PLACEMENTS: list[JsonValue] = [
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

TASK_REQUESTS: list[JsonValue] = [
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
