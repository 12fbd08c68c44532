"""Handlers of models on a disk: the catalog, what is fetched, and collections."""

from contextlib import aclosing

from aiohttp import web

from api_types import (
    EVENT_STREAM,
    ApiError,
    ErrorCode,
    ModelList,
    NodeQuery,
    PinRequest,
    PullRequest,
    RemovalQuery,
    StateRequest,
)
from http_shell import Call, json_answer
from orchestratord.http.handlers import Context
from orchestratord.http.pulls import stream_pull
from orchestratord.http.services import Disk


async def list_models(context: Context, call: Call[NodeQuery, None]) -> web.StreamResponse:
    """List the models of the catalog, and what is on its way to it."""
    models = await context.services.models.models(call.query.node_id)
    disk = context.services.disk
    return json_answer(ModelList(models=models, pulls=disk.fetcher.pulls() if disk else ()))


async def get_model(context: Context, call: Call[NodeQuery, None]) -> web.StreamResponse:
    """Return one model of the catalog."""
    models, node_id = context.services.models, call.query.node_id
    return json_answer(await models.model(call.path["model_id"], node_id))


async def pull_model(context: Context, call: Call[NodeQuery, PullRequest]) -> web.StreamResponse:
    """Bring a model here, in the background or with its progress as the answer."""
    fetcher = _disk(context, call.query).fetcher
    if call.answer_type != EVENT_STREAM:
        return json_answer(fetcher.start(call.body, call.correlation_id), status=202)
    async with aclosing(fetcher.follow(call.body)) as steps:
        return await stream_pull(call, steps, keep_alive_s=context.keep_alive_s)


async def remove_model(context: Context, call: Call[RemovalQuery, None]) -> web.StreamResponse:
    """Retire a model, or delete it now; not one that is needed."""
    keeper, model_id = _disk(context, call.query).keeper, call.path["model_id"]
    if not call.query.purge:
        return json_answer(await keeper.retire(model_id))
    await keeper.purge(model_id)
    return web.Response(status=204)


async def verify_model(context: Context, call: Call[NodeQuery, None]) -> web.StreamResponse:
    """Read all files of a model again."""
    return json_answer(await _disk(context, call.query).keeper.verify(call.path["model_id"]))


async def set_model_state(
    context: Context, call: Call[NodeQuery, StateRequest]
) -> web.StreamResponse:
    """Offer a model, or offer it no longer."""
    keeper = _disk(context, call.query).keeper
    return json_answer(await keeper.set_state(call.path["model_id"], call.body.state))


async def pin_model(context: Context, call: Call[NodeQuery, PinRequest]) -> web.StreamResponse:
    """Keep a model from being deleted, or no longer."""
    keeper = _disk(context, call.query).keeper
    return json_answer(await keeper.pin(call.path["model_id"], pinned=call.body.pinned))


async def plan_gc(context: Context, call: Call[NodeQuery, None]) -> web.StreamResponse:
    """Tell what a collection would delete now."""
    return json_answer(await _disk(context, call.query).collector.plan())


async def run_gc(context: Context, call: Call[NodeQuery, None]) -> web.StreamResponse:
    """Collect."""
    return json_answer(await _disk(context, call.query).collector.run())


def _disk(context: Context, query: NodeQuery) -> Disk:
    disk = context.services.disk
    if disk is None:
        raise ApiError(
            ErrorCode.NOT_FOUND,
            "the models lie on the nodes; this version fetches, keeps and collects them over HTTP "
            "only where one machine is all there is (profile home)",
        )
    disk.check_node(query.node_id)
    return disk
