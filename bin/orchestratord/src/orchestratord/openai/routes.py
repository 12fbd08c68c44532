"""The routes under /v1, in the same form as those of the contract."""

from typing import Literal

from api_types import EVENT_STREAM, JSON, Answer, ErrorCode, Header, Route
from api_types.fields import PositiveMs, SessionId
from api_types.routes import ADMISSION_ERRORS
from orchestratord.openai.answers import (
    ChatCompletion,
    Embeddings,
    ModelCard,
    ModelCards,
    Ranking,
    TextCompletion,
)
from orchestratord.openai.errors import UpstreamErrorBody
from orchestratord.openai.parameters import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    RerankRequest,
)
from pool_registry_types import ServiceModel

TASK_ERRORS = (
    *(code for code in ADMISSION_ERRORS if code is not ErrorCode.TASK_CONFLICT),
    ErrorCode.CANCELED,
    ErrorCode.DECODE_TIMEOUT,
    ErrorCode.REPLICA_EXHAUSTED,
    ErrorCode.WORKER_RESET,
)
"""A task's own failure is the answer's, unless a stream has begun."""

CODE_AT = ("error", "code")

_HEADERS = (
    Header("X-Session-Id", "The session of the conversation.", SessionId),
    Header("X-Priority", "In which queue it waits.", Literal["interactive", "batch"]),
    Header("X-Deadline-Ms", "From admission to the last token.", PositiveMs),
)
_ANSWER_HEADERS = (
    Header("X-Task-Id", "The id of the task."),
    Header("X-RateLimit-Limit-Requests", "How many tasks may wait for a model.", int),
    Header("X-RateLimit-Remaining-Requests", "How many more may wait now.", int),
)


def _plain(model: type[ServiceModel], description: str) -> Answer:
    return Answer(
        status=200,
        description=description,
        model=model,
        content_type=JSON,
        headers=_ANSWER_HEADERS,
    )


_CHUNKS = Answer(
    status=200,
    description="With `stream`: chunks as server-sent events, then `[DONE]`.",
    content_type=EVENT_STREAM,
    native_events=False,
    headers=_ANSWER_HEADERS,
)

V1_ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/chat/completions",
        operation_id="create_chat_completion",
        summary="Answer a conversation.",
        tag="openai",
        request=ChatRequest,
        headers=_HEADERS,
        answers=(_plain(ChatCompletion, "The answer."), _CHUNKS),
        errors=TASK_ERRORS,
        error_body=UpstreamErrorBody,
        error_code_at=CODE_AT,
    ),
    Route(
        method="POST",
        path="/v1/completions",
        operation_id="create_completion",
        summary="Go on with a text.",
        tag="openai",
        request=CompletionRequest,
        headers=_HEADERS,
        answers=(_plain(TextCompletion, "The text."), _CHUNKS),
        errors=TASK_ERRORS,
        error_body=UpstreamErrorBody,
        error_code_at=CODE_AT,
    ),
    Route(
        method="POST",
        path="/v1/embeddings",
        operation_id="create_embeddings",
        summary="Make vectors of texts.",
        tag="openai",
        request=EmbeddingRequest,
        headers=_HEADERS,
        answers=(_plain(Embeddings, "The vectors."),),
        errors=TASK_ERRORS,
        error_body=UpstreamErrorBody,
        error_code_at=CODE_AT,
    ),
    Route(
        method="POST",
        path="/v1/rerank",
        operation_id="rerank_documents",
        summary="Order documents by how well they answer a query.",
        tag="openai",
        request=RerankRequest,
        headers=_HEADERS,
        answers=(_plain(Ranking, "The documents, best first."),),
        errors=TASK_ERRORS,
        error_body=UpstreamErrorBody,
        error_code_at=CODE_AT,
    ),
    Route(
        method="GET",
        path="/v1/models",
        operation_id="list_model_cards",
        summary="The models that are served or could be.",
        tag="openai",
        answers=(
            Answer(status=200, description="The models.", model=ModelCards, content_type=JSON),
        ),
        error_body=UpstreamErrorBody,
        error_code_at=CODE_AT,
    ),
    Route(
        method="GET",
        path="/v1/models/{model_id}",
        operation_id="get_model_card",
        summary="One model, by id, reference or alias.",
        tag="openai",
        answers=(Answer(status=200, description="The model.", model=ModelCard, content_type=JSON),),
        errors=(ErrorCode.MODEL_NOT_FOUND,),
        error_body=UpstreamErrorBody,
        error_code_at=CODE_AT,
    ),
)
