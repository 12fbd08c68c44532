"""What the control plane adds to a real llama.cpp's first token, and takes of its throughput."""

import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import demo_model
from benchmarks import load, places
from benchmarks.load import Answer, Talk, percentile_ms, request_bytes
from benchmarks.loops import run
from benchmarks.scale import Scale

TOKENS = 32
_SLOTS = 4
_GREEDY = {"temperature": 0}


def real_engine(scale: Scale) -> dict[str, Any]:
    """The same requests at the bare engine and through orchestratord, in turns."""
    with TemporaryDirectory(prefix="bench-models-") as folder:
        model = demo_model.ensure(Path(folder), spec=demo_model.ENDLESS)
        table = (
            f'[[pools]]\nid = "real"\nmodel_ref = "file:{model}"\nslots = {_SLOTS}\nthreads = 1\n'
        )
        with places.orchestratord(None, tables=table, ORCHD_ADMISSION_CAPACITY="100000") as ours:
            (handoff,) = ours.runtime_dir.glob("*.json")
            engine = json.loads(handoff.read_bytes())
            port = int(engine["url"].rpartition(":")[2])
            bare = _bare(engine["engine_key"])
            through = _through()
            return {
                str(clients): _compared(scale, clients, (port, bare), (ours.port, through))
                for clients in scale.engine_clients
            }


def _bare(key: str) -> Talk:
    body = {"prompt": "1", "n_predict": TOKENS, "stream": True, **_GREEDY}
    body["cache_prompt"] = False  # as a task that does not ask for its session's cache
    request = request_bytes("POST", "/completion", body)
    line = f"Host: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n".encode()
    return Talk(
        request.replace(b"Host: 127.0.0.1\r\n", line, 1), marker=b'"content":"', reconnect=True
    )


def _through() -> Talk:
    body = {"prompt": "1", "max_tokens": TOKENS, "sampling": _GREEDY}
    return Talk(
        request_bytes("POST", "/v2/tasks", body, accept="text/event-stream"), marker=b"event: token"
    )


def _compared(
    scale: Scale, clients: int, bare: tuple[int, Talk], ours: tuple[int, Talk]
) -> dict[str, Any]:
    rows: dict[str, list[list[Answer]]] = {"bare": [], "ours": []}
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    count = max(10 * clients, 100)
    for _ in range(scale.engine_rounds):
        for name, (port, talk) in (("bare", bare), ("ours", ours)):
            began_s = time.perf_counter()
            rows[name].append(run(load.closed_loop(port, talk, clients=clients, count=count)))
            rates[name].append(count * TOKENS / (time.perf_counter() - began_s))
    told: dict[str, Any] = {}
    for name, rounds in rows.items():
        told[name] = {
            f"first_token_{label}_ms": round(
                statistics.median(
                    percentile_ms((a.first_s for a in answers if a.first_s is not None), share)
                    for answers in rounds
                ),
                3,
            )
            for label, share in (("p50", 0.5), ("p99", 0.99))
        }
        told[name]["tokens_per_s"] = round(statistics.median(rates[name]))
        told[name]["bad"] = sum(a.first_s is None for answers in rounds for a in answers)
    told["added_p50_ms"] = round(
        told["ours"]["first_token_p50_ms"] - told["bare"]["first_token_p50_ms"], 3
    )
    told["added_p99_ms"] = round(
        told["ours"]["first_token_p99_ms"] - told["bare"]["first_token_p99_ms"], 3
    )
    told["throughput_lost_percent"] = round(
        100
        * statistics.median(
            1 - ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True)
        ),
        1,
    )
    return told
