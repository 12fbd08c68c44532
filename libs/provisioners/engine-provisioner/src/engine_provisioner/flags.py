"""The flags of each engine's server, normalised: equal wishes give equal flags."""

from engine_provisioner.survey import Survey
from engine_provisioner.wish import VLLM, EngineWish

ALL_LAYERS = 99
HTTP_THREADS_SPARE = 8
"""Each open stream holds an HTTP thread; without spare ones /health and a cancel would wait."""
SMALL_MODEL_BYTES = 64 << 20
"""Below this the empty run after loading costs more than it saves."""


def wheel_flags(wish: EngineWish, survey: Survey) -> tuple[str, ...]:
    """Return the flags of our host for the wheel `xllamacpp`."""
    switches = {
        "--no-mmap": wish.on_gpu,
        "--no-prompt-cache": not wish.prompt_cache,
        "--no-warmup": wish.model.size_bytes < SMALL_MODEL_BYTES,
        "--embeddings": wish.embeddings,
        "--rerank": wish.rerank,
    }
    split = _split(wish)
    return (
        *("--model", wish.model.path),
        *("--alias", wish.model.id),
        *("--slots", str(wish.slots)),
        *("--ctx", str(wish.ctx_tokens)),
        *("--threads", str(_threads(wish, survey))),
        *("--gpu-layers", str(ALL_LAYERS if wish.on_gpu else 0)),
        *(("--tensor-split", split) if split else ()),
        *(switch for switch, on in switches.items() if on),
    )


def server_flags(wish: EngineWish, survey: Survey, *, model_path: str) -> tuple[str, ...]:
    """Return the flags of the engine's own server, but for host, port and key.

    Those its guardian adds, which knows the port; `model_path` is where the server sees the model.
    """
    if wish.engine == VLLM:
        return _vllm_flags(wish, model_path)
    return _llama_server_flags(wish, survey, model_path)


def _llama_server_flags(wish: EngineWish, survey: Survey, model_path: str) -> tuple[str, ...]:
    switches = {
        "--no-mmap": wish.on_gpu,
        "--no-cache-prompt": not wish.prompt_cache,
        "--no-warmup": wish.model.size_bytes < SMALL_MODEL_BYTES,
        "--embeddings": wish.embeddings,
        "--reranking": wish.rerank,
    }
    split = _split(wish)
    return (
        *("--model", model_path),
        *("--alias", wish.model.id),
        *("--parallel", str(wish.slots)),
        # It divides the context by the slots.
        *("--ctx-size", str(wish.ctx_tokens * wish.slots)),
        "--no-context-shift",
        *("--threads", str(_threads(wish, survey))),
        *("--threads-http", str(2 * wish.slots + HTTP_THREADS_SPARE)),
        *("--n-gpu-layers", str(ALL_LAYERS if wish.on_gpu else 0)),
        *(("--tensor-split", split) if split else ()),
        *("--metrics", "--slots"),
        *(switch for switch, on in switches.items() if on),
    )


def _vllm_flags(wish: EngineWish, model_path: str) -> tuple[str, ...]:
    # It shards evenly over as many devices as it is told, and takes all their memory for its cache.
    shards = ("--tensor-parallel-size", str(len(wish.devices))) if len(wish.devices) > 1 else ()
    return (
        model_path,
        *("--served-model-name", wish.model.id),
        *("--max-num-seqs", str(wish.slots)),
        *("--max-model-len", str(wish.ctx_tokens)),
        *shards,
        *(() if wish.prompt_cache else ("--no-enable-prefix-caching",)),
    )


def _threads(wish: EngineWish, survey: Survey) -> int:
    return wish.threads or max(1, survey.cpu_cores // 2)


def _split(wish: EngineWish) -> str:
    return ",".join(f"{share:g}" for share in wish.tensor_split) if wish.on_gpu else ""
