"""An engine that speaks OpenAI's HTTP API, as a `WorkerAdapter`."""

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
from openai_http.kinds import LLAMACPP, dialect_of
from worker_http import BegunRun, ClientLimits, EngineClient
from worker_http.openai_dialect import (
    Dialect,
    Load,
    OpenAiCalls,
    decoded_answer,
    error_of_response,
)

_HEALTH_TIMEOUT_MS = 5_000


class _Slot(msgspec.Struct):
    """An entry of llama.cpp's `/slots`."""

    is_processing: bool


class OpenAiAdapter:
    """SGLang, TGI, Ollama, llama.cpp's own `/v1`, or any engine that speaks as they do.

    Which of them it is tells its model list, unless `dialect` does. `model` chooses among several
    models of one engine. Every generation streams, since a call that does not may not be ended by
    closing it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        limits: ClientLimits | None = None,
        model: str | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        self._client = EngineClient(
            base_url, api_key=api_key, ssl_context=ssl_context, limits=limits
        )
        self._calls = OpenAiCalls(self._client, wanted_model=model)
        self._given = dialect

    @property
    def engine(self) -> str:
        """The engine kind."""
        return "openai"

    async def health(self) -> EngineHealth:
        """`/health`, or the model list where there is none (Ollama)."""
        try:
            response = await self._client.request("GET", "/health", timeout_ms=_HEALTH_TIMEOUT_MS)
            if response.status == 404:
                response = await self._client.request(
                    "GET", "/v1/models", timeout_ms=_HEALTH_TIMEOUT_MS
                )
        except AdapterError as error:
            return EngineHealth(live=False, ready=False, detail=error.message)
        if response.status == 200:
            return EngineHealth(live=True, ready=True)
        detail = error_of_response(response).message
        return EngineHealth(live=response.status == 503, ready=False, detail=detail)

    async def describe(self) -> EngineDescription:
        """The model list, and which workloads the engine does not refuse."""
        self._calls.forget_model()
        card = await self._calls.model()
        dialect = await self._dialect()
        return EngineDescription(
            engine=self.engine,
            engine_version=None,  # The dialect has no word for it.
            model=card.id,
            slots=len(await self._slots()) if dialect is LLAMACPP else 0,
            ctx_max=card.ctx_max,
            workloads=await self._calls.workloads(dialect),
            features=dialect.features,
        )

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        """Run one request to its end."""
        return await self._calls.run(request, sink, await self._dialect())

    def begin(self, request: EngineRequest, sink: EventSink, on_end: OnRunEnd) -> BegunRun | None:
        """Begin a completion on a connection that is there, once the engine is known."""
        card = self._calls.known_model
        if card is None:
            return None
        return self._calls.begin(request, sink, on_end, self._given or dialect_of(card))

    async def confirm_stopped(self, task_id: str, *, timeout_ms: int = 1_000) -> bool:
        """Wait until the engine has closed the connection, and for llama.cpp until a slot is free.

        Of the other engines more cannot be known: their work may outlive their close a little.
        """
        return await self._calls.confirm_stopped(task_id, timeout_ms=timeout_ms, load=self._load)

    async def tokenize(self, text: str) -> Sequence[int]:
        """The token ids of a text, where the engine has `/tokenize`."""
        return await self._calls.tokenize(text)

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()

    async def _dialect(self) -> Dialect:
        return self._given or dialect_of(await self._calls.model())

    async def _load(self) -> Load | None:
        if await self._dialect() is not LLAMACPP:
            return None
        slots = await self._slots()
        if not slots:
            return None
        busy = sum(slot.is_processing for slot in slots)
        # What waits for a slot is not among them; while one is free, nothing does.
        return Load(busy, all_counted=busy < len(slots))

    async def _slots(self) -> list[_Slot]:
        response = await self._client.request("GET", "/slots")
        if response.status in (404, 501):  # started without --slots
            return []
        return decoded_answer(response, list[_Slot])
