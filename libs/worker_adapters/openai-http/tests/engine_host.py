"""Serves a GGUF with llama.cpp until its stdin closes: engine_host.py MODEL [NAME=VALUE …]."""

import ast
import os
import sys

import xllamacpp


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 1024
    params.n_parallel = 2
    params.warmup = False
    params.endpoint_slots = True
    params.cpuparams.n_threads = 1
    for setting in sys.argv[2:]:
        name, _, value = setting.partition("=")
        if name == "pooling":
            params.embedding = True
            params.pooling_type = getattr(
                xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{value}"
            )
        else:
            setattr(params, name, ast.literal_eval(value))
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)


main()
