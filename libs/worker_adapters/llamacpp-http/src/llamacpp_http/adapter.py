"""llama.cpp's own HTTP API, as a `WorkerAdapter`."""

import asyncio
import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import PurePath
from random import Random
from typing import Any, TypeVar

import msgspec

from adapter_api import (
    AdapterError,
    EngineDescription,
    EngineFinish,
    EngineHealth,
    EngineProtocolError,
    EngineRefused,
    EngineRequest,
    EngineReset,
    EventSink,
    OnRunEnd,
    Result,
    Workload,
)
from llamacpp_http.body import MAX_SEED, chat_body, completion_body, plain_body
from llamacpp_http.refusals import error_of_response, schema_error
from llamacpp_http.stops import LeftRun, wait_until_gone
from llamacpp_http.stream import ChatReader, CompletionReader, StreamReader
from llamacpp_http.wire import (
    Detokenized,
    EmbeddingsResponse,
    Props,
    RerankResponse,
    Slot,
    Templated,
    Tokenized,
)
from worker_http import BegunRun, ClientLimits, Departure, EngineClient, Response, task_headers

_T = TypeVar("_T")

_FEATURES = frozenset(
    {"grammar", "json_schema", "logprobs", "logit_bias", "min_p", "token_ids", "progress"}
)

_draw_seed = partial(Random().getrandbits, 31)  # noqa: S311 - a seed is no secret
_MAX_LEFT = 1_024
"""Given-up tasks that nobody asked about are forgotten, oldest first."""


class LlamaCppAdapter:
    """One llama.cpp server, at its own address or behind its node's relay.

    A prompt goes to `/completion`, messages to `/v1/chat/completions`: there the engine's own
    template, tool and reasoning parsers are at work. Both always stream, since a call that does
    not is not ended by closing it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        limits: ClientLimits | None = None,
        new_seed: Callable[[], int] = _draw_seed,
    ) -> None:
        self._client = EngineClient(
            base_url, api_key=api_key, ssl_context=ssl_context, limits=limits
        )
        self._new_seed = new_seed
        # Numbers that another user of the engine will hardly choose as well.
        self._marks = count(2**30 + secrets.randbelow(2**29))
        self._left: dict[str, list[LeftRun]] = {}
        self._props: Props | None = None

    @property
    def engine(self) -> str:
        """The engine kind."""
        return "llamacpp"

    async def health(self) -> EngineHealth:
        """`/health`: 503 is an engine that loads its model."""
        try:
            response = await self._client.request("GET", "/health", timeout_ms=5_000)
        except AdapterError as error:
            return EngineHealth(live=False, ready=False, detail=error.message)
        if response.status == 200:
            return EngineHealth(live=True, ready=True)
        detail = error_of_response(response).message
        return EngineHealth(live=response.status == 503, ready=False, detail=detail)

    async def describe(self) -> EngineDescription:
        """`/props`, and which workloads the engine was started for."""
        props = self._props = await self._get("/props", Props)
        features = _FEATURES
        if props.chat_template:
            features |= {"chat"}
        if props.chat_template_caps.supports_tools:
            features |= {"tools"}
        return EngineDescription(
            engine=self.engine,
            engine_version=props.build_info or None,
            model=props.model_alias or PurePath(props.model_path).name or None,
            slots=props.total_slots,
            ctx_max=props.default_generation_settings.n_ctx,
            workloads=await self._workloads(),
            features=features,
        )

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        """Run one request to its end."""
        match request.workload:
            case "completion":
                return await self._complete(request, sink)
            case "embedding":
                return await self._embed(request, sink)
            case "rerank":
                return await self._rerank(request, sink)

    def begin(self, request: EngineRequest, sink: EventSink, on_end: OnRunEnd) -> BegunRun | None:
        """Begin a completion that needs no question first, on a connection that is there."""
        asks_first = request.text_so_far or request.tools or "json_schema" in request.sampling
        if asks_first or request.workload != "completion":
            return None
        try:
            mark, path, body, reader = self._composed(request, sink)
        except AdapterError:
            return None  # `run` will tell.
        begun = BegunRun(
            reader,
            on_end,
            refusal=_unwanted,
            left=lambda departure: self._note_left(request, mark, reader.in_slot, (departure,)),
        )
        begun.stream = self._client.begin_stream(
            path,
            body,
            on_data=reader.feed,
            on_last=reader.feed_last,
            on_end=begun.ended,
            first_ms=request.first_token_timeout_ms,
            idle_ms=request.idle_timeout_ms,
            headers=task_headers(request),
        )
        return None if begun.stream is None else begun

    async def confirm_stopped(self, task_id: str, *, timeout_ms: int = 1_000) -> bool:
        """Wait until no slot works on the task and none can begin to; see `stops`."""
        left = self._left.get(task_id, [])
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                for run in left:
                    await wait_until_gone(
                        run,
                        self._slots,
                        alone=self._client.endpoint.on_this_machine,
                        timeout_ms=timeout_ms,
                    )
        except TimeoutError:
            return False
        self._left.pop(task_id, None)
        return True

    async def tokenize(self, text: str) -> Sequence[int]:
        """The token ids of a text, without the tokens that a prompt begins with."""
        return (await self._post("/tokenize", Tokenized, content=text, add_special=False)).tokens

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return (await self._post("/detokenize", Detokenized, tokens=tokens)).content

    async def apply_template(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt that the model's own template makes of messages."""
        return (await self._post("/apply-template", Templated, messages=messages)).prompt

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()

    async def _complete(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        if request.text_so_far:
            request = await self._behind_the_text(request)
        if request.messages is not None:
            if request.tools:
                await self._check_tools()
        elif "json_schema" in request.sampling:
            await self._check_schema(request.sampling["json_schema"])
        mark, path, body, reader = self._composed(request, sink)
        departures: list[Departure] = []
        try:
            response = await self._client.stream(
                path,
                body,
                on_data=reader.feed,
                on_last=reader.feed_last,
                first_ms=request.first_token_timeout_ms,
                idle_ms=request.idle_timeout_ms,
                headers=task_headers(request),
                on_leave=departures.append,
            )
        except BaseException as error:
            if isinstance(error, EngineReset) and reader.finish is not None:
                return reader.finish
            self._note_left(request, mark, reader.in_slot, departures)
            raise
        if response.streamed:
            return reader.end()
        raise _unwanted(response)

    def _composed(
        self, request: EngineRequest, sink: EventSink
    ) -> tuple[int, str, bytes, StreamReader]:
        """The mark of a request, its path and body, and who reads the answer."""
        seed = self._seed_of(request)
        mark = next(self._marks)
        if request.messages is not None:
            body = chat_body(request, seed=seed, mark=mark)
            return mark, "/v1/chat/completions", body, ChatReader(sink, seed=seed)
        body = completion_body(request, seed=seed, mark=mark)
        return mark, "/completion", body, CompletionReader(sink, seed=seed)

    async def _behind_the_text(self, request: EngineRequest) -> EngineRequest:
        """The same request as a plain prompt that ends with what was said before."""
        prompt = request.prompt
        if prompt is None:
            prompt = await self.apply_template(request.messages or ())
        return replace(request, prompt=prompt + request.text_so_far, messages=None, text_so_far="")

    async def _embed(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        answer = await self._generate(
            request, "/v1/embeddings", EmbeddingsResponse, input=request.inputs
        )
        rows = sorted(answer.data, key=lambda row: row.index)
        sink(Result({"embeddings": [row.embedding for row in rows]}))
        return EngineFinish(
            finish_reason="stop", tokens_in=answer.usage.prompt_tokens, tokens_out=0
        )

    async def _rerank(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        answer = await self._generate(
            request,
            "/v1/rerank",
            RerankResponse,
            query=request.query or "",
            documents=request.inputs,
        )
        best_first = sorted(answer.results, key=lambda entry: -entry.relevance_score)
        sink(Result({"ranking": [msgspec.structs.asdict(entry) for entry in best_first]}))
        return EngineFinish(
            finish_reason="stop", tokens_in=answer.usage.prompt_tokens, tokens_out=0
        )

    async def _generate(
        self, request: EngineRequest, path: str, kind: type[_T], **body: object
    ) -> _T:
        departures: list[Departure] = []
        try:
            response = await self._client.request(
                "POST",
                path,
                plain_body(**body),
                headers=task_headers(request),
                timeout_ms=request.first_token_timeout_ms,
                on_leave=departures.append,
            )
        except BaseException:
            self._note_left(request, None, False, departures)
            raise
        return _decode(response, kind)

    def _note_left(
        self,
        request: EngineRequest,
        mark: int | None,
        in_slot: bool,
        departures: Sequence[Departure],
    ) -> None:
        if departures:  # else the request was never sent
            run = LeftRun(mark, in_slot, departures[-1])
            self._left.setdefault(request.task_id, []).append(run)
            if len(self._left) > _MAX_LEFT:
                del self._left[next(iter(self._left))]

    def _seed_of(self, request: EngineRequest) -> int:
        if request.seed is None or request.seed == -1:
            # The engine would choose one as well, and never tell which.
            return self._new_seed()
        if not 0 <= request.seed <= MAX_SEED:
            raise EngineRefused(f"seed {request.seed} is not in 0…{MAX_SEED}, nor -1 for any")
        return request.seed

    async def _check_tools(self) -> None:
        """A template without tools would drop them in silence, `tool_choice` too."""
        if self._props is None:
            self._props = await self._get("/props", Props)
        if not self._props.chat_template_caps.supports_tools:
            raise EngineRefused("the model's chat template has no tools")

    async def _check_schema(self, schema: object) -> None:
        """`/completion` leaves the text free when it cannot use a schema; this path tells."""
        empty = [{"role": "user", "content": ""}]
        body = plain_body(messages=empty, json_schema=schema)
        response = await self._client.request("POST", "/apply-template", body)
        if response.status != 200 and (told := schema_error(response)) is not None:
            raise EngineRefused(f"the engine cannot use the JSON schema: {told}")

    async def _workloads(self) -> tuple[Workload, ...]:
        """What the engine was started for; a ranking one would give noise as embeddings."""
        if await self._misses_input("/v1/rerank"):
            return ("completion", "rerank")
        if await self._misses_input("/v1/embeddings"):
            return ("completion", "embedding")
        return ("completion",)

    async def _misses_input(self, path: str) -> bool:
        """Whether an empty request lacks nothing but its input; it takes no slot."""
        response = await self._client.request("POST", path, b"{}")
        return response.status == 400 and b"must be provided" in response.body

    async def _slots(self) -> list[Slot]:
        return await self._get("/slots", list[Slot])

    async def _get(self, path: str, kind: type[_T]) -> _T:
        return _decode(await self._client.request("GET", path), kind)

    async def _post(self, path: str, kind: type[_T], **body: object) -> _T:
        return _decode(await self._client.request("POST", path, plain_body(**body)), kind)


def _unwanted(response: Response) -> AdapterError:
    if response.status == 200:
        return EngineProtocolError("the engine answered with something other than a stream")
    return error_of_response(response)


def _decode(response: Response, kind: type[_T]) -> _T:
    if response.status != 200:
        raise error_of_response(response)
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EngineProtocolError("the engine's answer is not its JSON") from None
