"""The engines behind the dialect, and what each of them can do."""

from worker_http.openai_dialect import OPENAI_SAMPLING, RESPONSE_FORMAT, Dialect, ModelCard

_CHAT = frozenset({"chat", "tools", "json_schema"})

OPENAI = Dialect(
    name="this OpenAI-compatible engine",
    features=_CHAT | {"logprobs", "logit_bias"},
)
"""An engine that nothing more is known of: OpenAI's own parameters."""

LLAMACPP = Dialect(
    name="llama.cpp",
    sampling={
        **OPENAI_SAMPLING,
        "top_k": "top_k",
        "min_p": "min_p",
        "repeat_penalty": "repeat_penalty",
        "grammar": "grammar",
        # In completions it reads no response_format.
        "json_schema": "json_schema",
    },
    # Without it the engine is silent in the prompt, and notices there only late that we left.
    always={"return_progress": True},
    max_seed=2**32 - 2,
    cold_cache="cache_prompt",
    continues_messages={},
    ranks_alone=True,
    features=_CHAT | {"logprobs", "logit_bias", "grammar", "min_p", "progress"},
)

SGLANG = Dialect(
    name="SGLang",
    sampling={
        **OPENAI_SAMPLING,
        "top_k": "top_k",
        "min_p": "min_p",
        "repeat_penalty": "repetition_penalty",
        "grammar": "ebnf",
        "json_schema": RESPONSE_FORMAT,
    },
    # It heeds a seed only with --enable-deterministic-inference: else one drawn repeats nothing.
    draws_seed=False,
    counts_prompts=True,
    cold_cache="cache_salt",
    continues_messages={"continue_final_message": True},
    either_way=True,
    features=_CHAT | {"logprobs", "logit_bias", "grammar", "min_p"},
)

TGI = Dialect(
    name="TGI",
    # It has logit_bias in its schema and does nothing with it; presence_penalty means other things.
    sampling={
        name: OPENAI_SAMPLING[name]
        for name in ("temperature", "top_p", "frequency_penalty", "stop", "logprobs", "json_schema")
    },
    features=_CHAT | {"logprobs"},
)

OLLAMA = Dialect(
    name="Ollama",
    sampling={
        name: OPENAI_SAMPLING[name]
        for name in (
            "temperature",
            "top_p",
            "presence_penalty",
            "frequency_penalty",
            "stop",
            "json_schema",
        )
    },
    max_seed=2**31 - 1,
    features=_CHAT,
)

KINDS = {"llamacpp": LLAMACPP, "sglang": SGLANG, "library": OLLAMA}
"""Who `/v1/models` says owns a model → the engine."""


def dialect_of(card: ModelCard) -> Dialect:
    """The engine that lists a model so; TGI names the model itself as its owner."""
    if card.owned_by == card.id:
        return TGI
    return KINDS.get(card.owned_by, OPENAI)
