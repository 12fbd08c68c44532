"""The routes of models on a disk: the catalog, what is fetched, and collections."""

from api_types.catalog import (
    GcPlanView,
    GcRunView,
    ModelList,
    ModelView,
    PinRequest,
    PullRequest,
    PullView,
    RemovalQuery,
    StateRequest,
    VerificationView,
)
from api_types.errors import ErrorCode
from api_types.resources import NodeQuery
from api_types.routing import EVENT_STREAM, Answer, Route

OF_A_NODE = (ErrorCode.NODE_UNKNOWN, ErrorCode.NODE_UNAVAILABLE)
"""How a route can fail that is answered by a node."""
_OF_A_MODEL = (ErrorCode.MODEL_NOT_FOUND, *OF_A_NODE)

CATALOG_ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v2/catalog/models",
        operation_id="list_models",
        summary="The models of the catalog.",
        tag="catalog",
        query=NodeQuery,
        answers=(Answer.json(ModelList, "The models."),),
        errors=OF_A_NODE,
    ),
    Route(
        method="GET",
        path="/v2/catalog/models/{model_id}",
        operation_id="get_model",
        summary="One model of the catalog.",
        tag="catalog",
        query=NodeQuery,
        answers=(Answer.json(ModelView, "The model."),),
        errors=_OF_A_MODEL,
    ),
    Route(
        method="POST",
        path="/v2/catalog/models",
        operation_id="pull_model",
        summary="Bring a model here; with `Accept: text/event-stream` the answer is its progress.",
        tag="catalog",
        query=NodeQuery,
        request=PullRequest,
        answers=(
            Answer.json(PullView, "It is fetched; the list of models tells how far it is.", 202),
            Answer(
                status=200,
                description="`progress` events, then `model` or `error`. A reader that leaves "
                "ends the fetch, unless others wait for it; the next one goes on with it.",
                content_type=EVENT_STREAM,
                native_events=False,
            ),
        ),
        errors=(
            *_OF_A_MODEL,
            ErrorCode.MODEL_NOT_AVAILABLE,
            ErrorCode.DISK_FULL,
            ErrorCode.SHUTTING_DOWN,
        ),
    ),
    Route(
        method="DELETE",
        path="/v2/catalog/models/{model_id}",
        operation_id="remove_model",
        summary="Retire a model that nobody needs; with `purge` delete it now.",
        tag="catalog",
        query=RemovalQuery,
        answers=(
            Answer.json(ModelView, "It is Retired: the next collections may delete it."),
            Answer(status=204, description="It is gone."),
        ),
        errors=(*_OF_A_MODEL, ErrorCode.MODEL_IN_USE),
    ),
    Route(
        method="POST",
        path="/v2/catalog/models/{model_id}/verify",
        operation_id="verify_model",
        summary="Read all files of a model and hold them against their digests.",
        tag="catalog",
        query=NodeQuery,
        answers=(Answer.json(VerificationView, "What was found."),),
        errors=_OF_A_MODEL,
    ),
    Route(
        method="PATCH",
        path="/v2/catalog/models/{model_id}/state",
        operation_id="set_model_state",
        summary="Offer a model, or offer it no longer once nobody needs it.",
        tag="catalog",
        query=NodeQuery,
        request=StateRequest,
        answers=(Answer.json(ModelView, "The model."),),
        errors=_OF_A_MODEL,
    ),
    Route(
        method="POST",
        path="/v2/catalog/models/{model_id}/pin",
        operation_id="pin_model",
        summary="Keep a model from being deleted, or no longer.",
        tag="catalog",
        query=NodeQuery,
        request=PinRequest,
        request_required=False,
        answers=(Answer.json(ModelView, "The model."),),
        errors=_OF_A_MODEL,
    ),
    Route(
        method="GET",
        path="/v2/catalog/gc/plan",
        operation_id="plan_gc",
        summary="What a collection would delete now, and why.",
        tag="catalog",
        query=NodeQuery,
        answers=(Answer.json(GcPlanView, "The plan. Nothing was deleted."),),
        errors=OF_A_NODE,
    ),
    Route(
        method="POST",
        path="/v2/catalog/gc/run",
        operation_id="run_gc",
        summary="Delete what the policy allows.",
        tag="catalog",
        query=NodeQuery,
        answers=(Answer.json(GcRunView, "What was done."),),
        errors=OF_A_NODE,
    ),
)
