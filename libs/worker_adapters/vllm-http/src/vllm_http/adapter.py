"""vLLM's HTTP API, as a `WorkerAdapter`."""

import ssl
from collections.abc import Sequence

import msgspec

from adapter_api import (
    AdapterError,
    EngineDescription,
    EngineFinish,
    EngineHealth,
    EngineRequest,
    EventSink,
    OnRunEnd,
)
from vllm_http.metrics import EngineLoad, engine_load
from worker_http import BegunRun, ClientLimits, EngineClient
from worker_http.openai_dialect import (
    OPENAI_SAMPLING,
    Dialect,
    Load,
    OpenAiCalls,
    error_of_response,
)

_HEALTH_TIMEOUT_MS = 5_000

VLLM = Dialect(
    name="vLLM",
    sampling={
        **OPENAI_SAMPLING,
        "top_k": "top_k",
        "min_p": "min_p",
        "repeat_penalty": "repetition_penalty",
        "grammar": "structured_outputs.grammar",
        "json_schema": "structured_outputs.json",
    },
    # A request with a seed of its own slows its whole batch down: only for those who ask.
    draws_seed=False,
    counts_prompts=True,
    cold_cache="cache_salt",
    continues_messages={"continue_final_message": True, "add_generation_prompt": False},
    either_way=True,
    features=frozenset(
        {"chat", "tools", "grammar", "json_schema", "logprobs", "logit_bias", "min_p"}
    ),
)


class _Version(msgspec.Struct):
    """The answer of `/version`."""

    version: str


class VllmAdapter:
    """One vLLM server, 0.11 or newer, at its own address or behind its node's relay."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self._client = EngineClient(
            base_url, api_key=api_key, ssl_context=ssl_context, limits=limits
        )
        self._calls = OpenAiCalls(self._client)

    @property
    def engine(self) -> str:
        """The engine kind."""
        return "vllm"

    async def health(self) -> EngineHealth:
        """`/health`: 503 is a server whose engine has died. See `probe` for what it misses."""
        try:
            response = await self._client.request("GET", "/health", timeout_ms=_HEALTH_TIMEOUT_MS)
        except AdapterError as error:
            return EngineHealth(live=False, ready=False, detail=error.message)
        if response.status == 200:
            return EngineHealth(live=True, ready=True)
        return EngineHealth(live=False, ready=False, detail=error_of_response(response).message)

    async def probe(self, *, timeout_ms: int = 10_000) -> EngineHealth:
        """Generate one token: a lost rank leaves `/health` at 200 until a request fails."""
        request = EngineRequest(
            task_id="probe", prompt=".", max_tokens=1, first_token_timeout_ms=timeout_ms
        )
        try:
            await self.run(request, lambda _: None)
        except AdapterError as error:
            return EngineHealth(live=False, ready=False, detail=error.message)
        return EngineHealth(live=True, ready=True)

    async def describe(self) -> EngineDescription:
        """`/version`, the model list, and which workloads the engine does not refuse."""
        self._calls.forget_model()
        card = await self._calls.model()
        return EngineDescription(
            engine=self.engine,
            engine_version=(await self._calls.get("/version", _Version)).version,
            model=card.id,
            slots=0,  # It has as many as its memory holds, and does not say.
            ctx_max=card.ctx_max,
            workloads=await self._calls.workloads(VLLM),
            features=VLLM.features,
        )

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        """Run one request to its end."""
        return await self._calls.run(request, sink, VLLM)

    def begin(self, request: EngineRequest, sink: EventSink, on_end: OnRunEnd) -> BegunRun | None:
        """Begin a completion on a connection that is there, once the model is known."""
        return self._calls.begin(request, sink, on_end, VLLM)

    async def load(self) -> EngineLoad | None:
        """How many requests run and wait, of everybody; None where vLLM counts nothing."""
        response = await self._client.request("GET", "/metrics")
        if response.status == 404:
            return None
        if response.status != 200:
            raise error_of_response(response)
        return engine_load(response.body)

    async def confirm_stopped(self, task_id: str, *, timeout_ms: int = 1_000) -> bool:
        """Wait until vLLM counts no request beside our others; its close alone proves nothing."""
        return await self._calls.confirm_stopped(task_id, timeout_ms=timeout_ms, load=self._busy)

    async def tokenize(self, text: str) -> Sequence[int]:
        """The token ids of a text, without the tokens that a prompt begins with."""
        return await self._calls.tokenize(text)

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()

    async def _busy(self) -> Load | None:
        load = await self.load()
        return None if load is None else Load(load.running + load.waiting)
