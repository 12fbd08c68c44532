"""The calls of the dialect on one engine, and which of them were given up."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from adapter_api import (
    TASK_HEADER,
    AdapterError,
    EngineFailed,
    EngineFinish,
    EngineRefused,
    EngineRequest,
    EngineReset,
    EngineTimeout,
    EventSink,
    OnRunEnd,
    Result,
    Workload,
)
from worker_http.client import EngineClient
from worker_http.connection import Departure
from worker_http.context import task_headers
from worker_http.exchange import Response
from worker_http.openai_dialect.body import chat_body, completion_body, encoded
from worker_http.openai_dialect.dialect import Dialect
from worker_http.openai_dialect.refusals import decoded_answer, error_of_response
from worker_http.openai_dialect.stops import Load, wait_until_gone
from worker_http.openai_dialect.stream import StreamReader
from worker_http.openai_dialect.wire import (
    EmbeddingsResponse,
    ModelCard,
    ModelList,
    Ranked,
    RerankResponse,
    Tokenized,
)
from worker_http.runs import BegunRun

_T = TypeVar("_T")

_MAX_LEFT = 1_024
"""Given-up tasks that nobody asked about are forgotten, oldest first."""
_TRIAL_TIMEOUT_MS = 2_000
_DRAWN_SEEDS = 2**31


class OpenAiCalls:
    """What every engine of the dialect is asked in the same way."""

    def __init__(self, client: EngineClient, *, wanted_model: str | None = None) -> None:
        self.client = client
        self._wanted_model = wanted_model
        self._card: ModelCard | None = None
        self._begun: set[StreamReader] = set()
        self._left: dict[str, list[Departure]] = {}

    async def model(self) -> ModelCard:
        """The model that requests name; asked once."""
        if self._card is None:
            cards = (await self.get("/v1/models", ModelList)).data
            wanted = {self._wanted_model, f"{self._wanted_model}:latest"}
            found = [card for card in cards if card.id in wanted]
            if not found and self._wanted_model is not None and len(cards) > 1:
                raise EngineFailed(f"the engine has {len(cards)} models, and not the pool's")
            if not cards:
                raise EngineFailed("the engine has no model")
            self._card = (found or cards)[0]
        return self._card

    @property
    def known_model(self) -> ModelCard | None:
        """That model, where it was asked for."""
        return self._card

    def forget_model(self) -> None:
        """Ask again which model the engine has."""
        self._card = None

    async def run(self, request: EngineRequest, sink: EventSink, dialect: Dialect) -> EngineFinish:
        """Run one request to its end."""
        match request.workload:
            case "completion":
                return await self._complete(request, sink, dialect)
            case "embedding":
                return await self._embed(request, sink)
            case "rerank":
                return await self._rerank(request, sink)

    def begin(
        self, request: EngineRequest, sink: EventSink, on_end: OnRunEnd, dialect: Dialect
    ) -> BegunRun | None:
        """Begin a completion that needs no question first, on a connection that is there."""
        card = self._card
        counts_first = dialect.counts_prompts and request.max_tokens is None
        asks_first = counts_first and request.messages is None
        if card is None or asks_first or request.workload != "completion":
            return None
        try:
            path, body, reader = self._composed(request, sink, dialect, card, room=None)
        except AdapterError:
            return None  # `run` will tell.

        def on_data(data: bytes) -> bool:
            self._begun.add(reader)
            return reader.feed(data)

        def left(departure: Departure) -> None:
            self._begun.discard(reader)
            self._note_left(request, (departure,))

        def ended(outcome: EngineFinish | Exception) -> None:
            self._begun.discard(reader)
            on_end(outcome)

        begun = BegunRun(reader, ended, refusal=self._refusal, left=left)
        begun.stream = self.client.begin_stream(
            path,
            body,
            on_data=on_data,
            on_end=begun.ended,
            first_ms=request.first_token_timeout_ms,
            idle_ms=request.idle_timeout_ms,
            headers=task_headers(request),
        )
        return None if begun.stream is None else begun

    async def workloads(self, dialect: Dialect) -> tuple[Workload, ...]:
        """What the engine does not refuse; found out with the smallest requests there are."""
        model = (await self.model()).id
        embeds = await self._takes("/v1/embeddings", encoded(model=model, input=["."]))
        ranks = await self._takes("/v1/rerank", encoded(model=model, query=".", documents=["."]))
        offered: list[Workload] = []
        if not (dialect.either_way and (embeds or ranks)):
            offered.append("completion")
        if embeds and not (dialect.ranks_alone and ranks):
            offered.append("embedding")
        if ranks:
            offered.append("rerank")
        return tuple(offered)

    async def tokenize(self, text: str) -> Sequence[int]:
        """The token ids of a text; both names of the text are sent, as engines differ."""
        model = (await self.model()).id
        body = encoded(model=model, prompt=text, content=text, add_special_tokens=False)
        response = await self.client.request("POST", "/tokenize", body)
        return decoded_answer(response, Tokenized).tokens

    async def confirm_stopped(
        self, task_id: str, *, timeout_ms: int, load: Callable[[], Awaitable[Load | None]]
    ) -> bool:
        """Wait until all that was given up of a task has left the engine; see `stops`."""
        gone = True
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                for departure in self._left.get(task_id, ()):
                    gone &= await wait_until_gone(
                        departure,
                        load=load,
                        own=lambda: len(self._begun),
                        alone=self.client.endpoint.on_this_machine,
                        timeout_ms=timeout_ms,
                    )
        except TimeoutError:
            return False
        if gone:
            self._left.pop(task_id, None)
        return gone

    async def get(self, path: str, kind: type[_T]) -> _T:
        """The JSON of a path."""
        return decoded_answer(await self.client.request("GET", path), kind)

    async def _complete(
        self, request: EngineRequest, sink: EventSink, dialect: Dialect
    ) -> EngineFinish:
        card = await self.model()
        room = None if request.messages is not None else await self._room(request, card, dialect)
        path, body, reader = self._composed(request, sink, dialect, card, room=room)

        def on_data(data: bytes) -> bool:
            self._begun.add(reader)
            return reader.feed(data)

        departures: list[Departure] = []
        try:
            response = await self.client.stream(
                path,
                body,
                on_data=on_data,
                first_ms=request.first_token_timeout_ms,
                idle_ms=request.idle_timeout_ms,
                headers=task_headers(request),
                on_leave=departures.append,
            )
        except BaseException as error:
            if isinstance(error, EngineReset) and (finish := reader.finish) is not None:
                return finish
            self._note_left(request, departures)
            raise
        finally:
            self._begun.discard(reader)
        if response.streamed:
            return reader.end()
        raise self._refusal(response)

    def _composed(
        self,
        request: EngineRequest,
        sink: EventSink,
        dialect: Dialect,
        card: ModelCard,
        *,
        room: int | None,
    ) -> tuple[str, bytes, StreamReader]:
        """The path and body of a request, and who reads the answer."""
        seed = _seed_of(request, dialect)
        if request.messages is not None:
            path = "/v1/chat/completions"
            body = chat_body(request, dialect, model=card.id, seed=seed)
        else:
            path = "/v1/completions"
            body = completion_body(request, dialect, model=card.id, seed=seed, room=room)
        return path, body, StreamReader(sink, seed=seed)

    def _refusal(self, response: Response) -> AdapterError:
        if response.status == 404:
            self.forget_model()
        return error_of_response(response)

    async def _room(self, request: EngineRequest, card: ModelCard, dialect: Dialect) -> int | None:
        """What the prompt leaves of the context, where the engine must be told."""
        if not dialect.counts_prompts or request.max_tokens is not None:
            return None
        body = encoded(model=card.id, prompt=f"{request.prompt}{request.text_so_far}")
        response = await self.client.request("POST", "/tokenize", body)
        if response.status != 200 or not card.ctx_max:
            raise EngineRefused(f"{dialect.name} needs max_tokens with a prompt, else it gives 16")
        return max(1, card.ctx_max - len(decoded_answer(response, Tokenized).tokens))

    async def _embed(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        answer = await self._generate(
            request, "/v1/embeddings", EmbeddingsResponse, input=request.inputs
        )
        rows = sorted(answer.data, key=lambda row: row.index)
        sink(Result({"embeddings": [row.embedding for row in rows]}))
        return EngineFinish(finish_reason="stop", tokens_in=answer.usage.tokens_in, tokens_out=0)

    async def _rerank(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        answer: RerankResponse | list[Ranked] = await self._generate(
            request,
            "/v1/rerank",
            RerankResponse | list[Ranked],  # type: ignore[arg-type]  # a union is no type[T]
            query=request.query or "",
            documents=request.inputs,
        )
        if isinstance(answer, list):
            answer = RerankResponse(answer)
        best_first = sorted(answer.results, key=lambda entry: -entry.relevance)
        ranking = [
            {"index": entry.index, "relevance_score": entry.relevance} for entry in best_first
        ]
        sink(Result({"ranking": ranking}))
        return EngineFinish(finish_reason="stop", tokens_in=answer.usage.tokens_in, tokens_out=0)

    async def _generate(
        self, request: EngineRequest, path: str, kind: type[_T], **body: object
    ) -> _T:
        model = (await self.model()).id
        departures: list[Departure] = []
        try:
            response = await self.client.request(
                "POST",
                path,
                encoded(model=model, **body),
                headers=task_headers(request),
                timeout_ms=request.first_token_timeout_ms,
                on_leave=departures.append,
            )
        except BaseException:
            self._note_left(request, departures)
            raise
        if response.status == 404:  # an engine has such a path only for models of that kind
            self.forget_model()
            raise EngineRefused(f"the engine offers no {request.workload}")
        return decoded_answer(response, kind)

    async def _takes(self, path: str, body: bytes) -> bool:
        """Whether the engine answers such a request; one that is too busy to say so may."""
        try:
            response = await self.client.request(
                "POST",
                path,
                body,
                headers=[(TASK_HEADER, "describe/1")],
                timeout_ms=_TRIAL_TIMEOUT_MS,
            )
        except EngineTimeout:
            return True
        return response.status in (200, 429, 503)

    def _note_left(self, request: EngineRequest, departures: Sequence[Departure]) -> None:
        if departures:  # else the request was never sent
            self._left.setdefault(request.task_id, []).append(departures[-1])
            if len(self._left) > _MAX_LEFT:
                del self._left[next(iter(self._left))]


def _seed_of(request: EngineRequest, dialect: Dialect) -> int | None:
    seed = request.seed
    if dialect.max_seed is None:
        if seed is not None:
            raise EngineRefused(f"{dialect.name} takes no seed")
        return None
    if seed == -1 or (seed is None and dialect.draws_seed):
        return secrets.randbelow(_DRAWN_SEEDS)  # the engine would never tell which it chose
    if seed is not None and not 0 <= seed <= dialect.max_seed:
        raise EngineRefused(f"seed {seed} is not in 0…{dialect.max_seed}, nor -1 for any")
    return seed
