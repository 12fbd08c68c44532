"""The handlers under /v1: the same tasks as everywhere, told in the upstream API's words."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from api_types import JSON, ModelView, PoolView, TaskRequest
from http_shell import Call, json_answer
from orchestratord.http.handlers import Context, Handler
from orchestratord.http.sse import Streamed, give
from orchestratord.openai import translate
from orchestratord.openai.admitted import Admitted
from orchestratord.openai.answers import ModelCard, ModelCards, ModelDetails
from orchestratord.openai.chunks import ChatStyle, CompletionStyle
from orchestratord.openai.collected import (
    chat_answer,
    completion_answer,
    embedding_answer,
    rerank_answer,
)
from orchestratord.openai.offered import SERVED_STATE, with_foreign
from orchestratord.openai.parameters import (
    ChatRequest,
    CompletionRequest,
    EdgeHeaders,
    EmbeddingRequest,
    GeneratingRequest,
    RerankRequest,
    UsualChat,
)
from orchestratord.unknown import unknown_model

_PLAIN_CHAT = ChatStyle(top_logprobs=0)


class OpenAiHandlers:
    """The handlers, and what they know from the settings."""

    def __init__(self, *, capacity: int, aliases: Mapping[str, str]) -> None:
        self._capacity = capacity
        self._aliases = aliases

    def by_operation(self) -> Mapping[str, Handler]:
        """Return each handler under the operation that it answers."""
        return {
            handler.__name__: handler
            for handler in (
                self.create_chat_completion,
                self.create_completion,
                self.create_embeddings,
                self.rerank_documents,
                self.list_model_cards,
                self.get_model_card,
            )
        }

    async def create_chat_completion(
        self, context: Context, call: Call[None, ChatRequest]
    ) -> web.StreamResponse:
        """Answer a conversation."""
        streamed = self.begin_chat_stream(context, call)
        if streamed is not None:
            return await give(context, call, streamed)
        admitted = self._admit_chat(context, call)
        top = call.body.top_logprobs or 0
        return _json(chat_answer(admitted.heading, await admitted.collect(), top_logprobs=top))

    def begin_chat_stream(self, context: Context, call: Call[None, UsualChat]) -> Streamed | None:
        """Begin a streamed answer to a conversation; None where none was asked for."""
        body = call.body
        if not body.stream:
            return None
        style = _PLAIN_CHAT
        if isinstance(body, ChatRequest) and body.top_logprobs:
            style = ChatStyle(top_logprobs=body.top_logprobs)
        return self._admit_chat(context, call).stream(style, include_usage=_wants_usage(body))

    def _admit_chat(self, context: Context, call: Call[None, UsualChat]) -> Admitted:
        task = translate.chat_task(call.body, _said(call))
        return self._admit(context, call, task, "chatcmpl")

    async def create_completion(
        self, context: Context, call: Call[None, CompletionRequest]
    ) -> web.StreamResponse:
        """Go on with a text."""
        streamed = self.begin_completion_stream(context, call)
        if streamed is not None:
            return await give(context, call, streamed)
        admitted = self._admit_completion(context, call)
        top = call.body.logprobs or 0
        kept = await admitted.collect()
        return _json(completion_answer(admitted.heading, kept, top_logprobs=top))

    def begin_completion_stream(
        self, context: Context, call: Call[None, CompletionRequest]
    ) -> Streamed | None:
        """Begin a streamed answer to a text; None where none was asked for."""
        body = call.body
        if not body.stream:
            return None
        style = CompletionStyle(top_logprobs=body.logprobs or 0)
        return self._admit_completion(context, call).stream(style, include_usage=_wants_usage(body))

    def _admit_completion(self, context: Context, call: Call[None, CompletionRequest]) -> Admitted:
        task = translate.completion_task(call.body, _said(call))
        return self._admit(context, call, task, "cmpl")

    async def create_embeddings(
        self, context: Context, call: Call[None, EmbeddingRequest]
    ) -> web.StreamResponse:
        """Make vectors of texts."""
        task = translate.embedding_task(call.body, _said(call))
        admitted = self._admit(context, call, task, "embd")
        kept = await admitted.collect()
        as_base64 = call.body.encoding_format == "base64"
        return _json(embedding_answer(admitted.heading, kept, as_base64=as_base64))

    async def rerank_documents(
        self, context: Context, call: Call[None, RerankRequest]
    ) -> web.StreamResponse:
        """Order documents by how well they answer a query."""
        body = call.body
        task = translate.rerank_task(body, _said(call))
        admitted = self._admit(context, call, task, "rerank")
        texts = translate.texts_of(body) if body.return_documents else None
        kept = await admitted.collect()
        return _json(rerank_answer(admitted.heading, kept, texts=texts, top_n=body.top_n))

    async def list_model_cards(
        self, context: Context, _call: Call[None, None]
    ) -> web.StreamResponse:
        """List the models that are served or could be."""
        pools = context.services.pools.snapshots()
        views = await _known_models(context, pools)
        cards = [self._card(context, view, pools) for view in views if view.state == SERVED_STATE]
        offered = (card for card in cards if card.llama_orch.served_by or _loads(card))
        return json_answer(ModelCards(data=tuple(offered)))

    async def get_model_card(self, context: Context, call: Call[None, None]) -> web.StreamResponse:
        """Return one model, by id, reference or alias."""
        asked = call.path["model_id"]
        name = self._aliases.get(asked, asked)
        pools = context.services.pools.snapshots()
        views = await _known_models(context, pools)
        for view in views:
            if name in (view.model_id, view.reference):
                return json_answer(self._card(context, view, pools))
        raise unknown_model(
            asked,
            before="no model",
            after=" is known here",
            ids=[view.model_id for view in views],
            references=[view.reference for view in views],
            aliases=self._aliases,
            hint="GET /v1/models lists them",
        )

    def _admit(
        self, context: Context, call: Call[Any, Any], task: TaskRequest, prefix: str
    ) -> Admitted:
        return Admitted.of(context, call, task, id_prefix=prefix, capacity=self._capacity)

    def _card(self, context: Context, view: ModelView, pools: tuple[PoolView, ...]) -> ModelCard:
        names = (view.model_id, view.reference)
        return ModelCard(
            id=view.model_id,
            created=context.started_ms // 1000,
            llama_orch=ModelDetails(
                reference=view.reference,
                state=view.state,
                ready=any(
                    replica.health.ready and replica.model_id == view.model_id
                    for pool in pools
                    for replica in pool.replicas
                ),
                served_by=view.served_by,
                loadable_by=tuple(
                    pool.pool_id for pool in pools if view.model_id in pool.loadable_models
                ),
                aliases=tuple(a for a, meant in sorted(self._aliases.items()) if meant in names),
                ctx_max=view.ctx_max,
                size_bytes=view.size_bytes,
                architecture=view.architecture,
                quantization=view.quantization,
            ),
        )


def _said(call: Call[Any, Any]) -> EdgeHeaders:
    """Return what the headers say of the task; raises ApiError."""
    said: EdgeHeaders | None = call.said
    return translate.edge_headers(call.request.headers) if said is None else said


async def _known_models(context: Context, pools: tuple[PoolView, ...]) -> tuple[ModelView, ...]:
    return with_foreign(await context.services.models.models(), pools)


def _loads(card: ModelCard) -> bool:
    return bool(card.llama_orch.loadable_by)


def _wants_usage(body: GeneratingRequest) -> bool:
    return body.stream_options is not None and body.stream_options.include_usage is True


def _json(document: Mapping[str, Any]) -> web.Response:
    return web.Response(
        headers={"Cache-Control": "no-store"},
        body=msgspec.json.encode(document),
        content_type=JSON,
    )
