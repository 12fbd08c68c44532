"""What vLLM's `/metrics` looks like."""


def metrics_of(*, running: int, waiting: int = 0) -> bytes:
    return f"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="tiny"}} {running:.1f}
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="tiny"}} {waiting:.1f}
vllm:num_requests_waiting_by_reason{{engine="0",model_name="tiny",reason="capacity"}} 7.0
vllm:kv_cache_usage_perc{{engine="0",model_name="tiny"}} 0.0
""".encode()
