"""The handlers of models on a disk: the catalog, what is fetched, and collections."""

from collections.abc import Mapping
from contextlib import aclosing

from aiohttp import web

from api_types import (
    EVENT_STREAM,
    NodeQuery,
    PinRequest,
    PullRequest,
    RemovalQuery,
    StagingRequest,
    StateRequest,
)
from http_shell import Call, ErrorMap, Handler, json_answer
from model_keeper.ports import Disks
from model_keeper.progress_stream import KEEP_ALIVE_S, stream_pull


class ModelHandlers:
    """Answers checked calls; each method is named like the operation that it answers.

    `errors` tells what a pull that is read along ends with when it fails.
    """

    def __init__(
        self, disks: Disks, errors: ErrorMap, *, keep_alive_s: float = KEEP_ALIVE_S
    ) -> None:
        self._disks = disks
        self._errors = errors
        self._keep_alive_s = keep_alive_s

    def by_operation(self) -> Mapping[str, Handler]:
        """Return them by the name of the operation, as `api_types.ROUTES` has it."""
        handlers: tuple[Handler, ...] = (
            self.list_models,
            self.get_model,
            self.pull_model,
            self.remove_model,
            self.verify_model,
            self.set_model_state,
            self.pin_model,
            self.plan_gc,
            self.run_gc,
            self.get_model_cache,
            self.stage_model,
            self.unstage_model,
        )
        return {handler.__name__: handler for handler in handlers}

    async def list_models(self, call: Call[NodeQuery, None]) -> web.StreamResponse:
        """List the models of the catalog, and what is on its way to it."""
        return json_answer(await self._disks.of(call.query.node_id).reader.listing())

    async def get_model(self, call: Call[NodeQuery, None]) -> web.StreamResponse:
        """Return one model of the catalog."""
        reader = self._disks.of(call.query.node_id).reader
        return json_answer(await reader.model(call.path["model_id"]))

    async def pull_model(self, call: Call[NodeQuery, PullRequest]) -> web.StreamResponse:
        """Bring a model here, in the background or with its progress as the answer."""
        fetcher = self._disks.of(call.query.node_id).fetcher
        if call.answer_type != EVENT_STREAM:
            return json_answer(await fetcher.start(call.body, call.correlation_id), status=202)
        async with aclosing(fetcher.follow(call.body)) as steps:
            return await stream_pull(call, steps, self._errors, keep_alive_s=self._keep_alive_s)

    async def remove_model(self, call: Call[RemovalQuery, None]) -> web.StreamResponse:
        """Retire a model, or delete it now; not one that is needed."""
        keeper, model_id = self._disks.of(call.query.node_id).keeper, call.path["model_id"]
        if not call.query.purge:
            return json_answer(await keeper.retire(model_id))
        await keeper.purge(model_id)
        return web.Response(status=204)

    async def verify_model(self, call: Call[NodeQuery, None]) -> web.StreamResponse:
        """Read all files of a model again."""
        keeper = self._disks.of(call.query.node_id).keeper
        return json_answer(await keeper.verify(call.path["model_id"]))

    async def set_model_state(self, call: Call[NodeQuery, StateRequest]) -> web.StreamResponse:
        """Offer a model, or offer it no longer."""
        keeper = self._disks.of(call.query.node_id).keeper
        return json_answer(await keeper.set_state(call.path["model_id"], call.body.state))

    async def pin_model(self, call: Call[NodeQuery, PinRequest]) -> web.StreamResponse:
        """Keep a model from being deleted, or no longer."""
        keeper = self._disks.of(call.query.node_id).keeper
        return json_answer(await keeper.pin(call.path["model_id"], pinned=call.body.pinned))

    async def plan_gc(self, call: Call[NodeQuery, None]) -> web.StreamResponse:
        """Tell what a collection would delete now."""
        return json_answer(await self._disks.of(call.query.node_id).collector.plan())

    async def run_gc(self, call: Call[NodeQuery, None]) -> web.StreamResponse:
        """Collect."""
        return json_answer(await self._disks.of(call.query.node_id).collector.run())

    async def get_model_cache(self, call: Call[NodeQuery, None]) -> web.StreamResponse:
        """Tell what is staged in RAM."""
        return json_answer(await self._disks.of(call.query.node_id).stager.view())

    async def stage_model(self, call: Call[NodeQuery, StagingRequest]) -> web.StreamResponse:
        """Begin to bring a model into RAM."""
        stager = self._disks.of(call.query.node_id).stager
        staged = await stager.stage(call.path["model_id"], pinned=call.body.pinned)
        return json_answer(staged, status=202)

    async def unstage_model(self, call: Call[NodeQuery, None]) -> web.StreamResponse:
        """Let the RAM of a model go."""
        await self._disks.of(call.query.node_id).stager.unstage(call.path["model_id"])
        return web.Response(status=204)
