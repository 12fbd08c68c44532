"""The models on the disks of nodes: each asked itself, or all of them together.

Reading and collecting without a name means every node that is online, and each entry of the answer
names its node; who could not answer is named as well. What changes one model, and a fetch, goes to
one node: the only one that can be meant, or the one that the caller names.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import NoReturn, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from api_types import (
    ApiError,
    CacheView,
    ErrorBody,
    ErrorCode,
    GcPlanView,
    GcRunView,
    ModelList,
    ModelView,
    NodeTrouble,
    PinRequest,
    PreparationStep,
    PullRequest,
    PullView,
    StagedView,
    StagingRequest,
    StateRequest,
    VerificationView,
)
from model_keeper import Disk
from orchestratord.cloud.client import NodeClient, error_of
from orchestratord.cloud.nodes import ClusterNodes
from service_registry import NodeLease, ServiceRegistry

MODELS = "/v2/catalog/models"
PLAN = "/v2/catalog/gc/plan"
RUN = "/v2/catalog/gc/run"
CACHE = "/v2/model-cache"
RUN_TIMEOUT_S = 600.0
VERIFY_TIMEOUT_S = 3_600.0
"""A node reads every byte of the model."""

_Answer = TypeVar("_Answer")
_View = TypeVar("_View", bound=BaseModel)


class ClusterDisks:
    """Fulfils `Disks`: by a name the disk of that node, without one those of all."""

    def __init__(self, registry: ServiceRegistry, nodes: ClusterNodes, client: NodeClient) -> None:
        self._nodes = nodes
        self._client = client
        self._every = _disk(EveryDisk(registry, client))

    def of(self, node_id: str | None) -> Disk:
        """See `Disks`."""
        if node_id is None:
            return self._every
        return _disk(NodeDisk(self._nodes.find(node_id), self._client))


class NodeDisk:
    """The disk of one node: reader, fetcher, keeper and collector are its own routes."""

    def __init__(self, node: NodeLease, client: NodeClient) -> None:
        self._node = node
        self._client = client

    async def listing(self) -> ModelList:
        """See `ModelReader`."""
        told = await self._client.get(self._node, MODELS, ModelList)
        return told.model_copy(
            update={"models": self._all_named(told.models), "pulls": self._all_named(told.pulls)}
        )

    async def model(self, model_id: str) -> ModelView:
        """See `ModelReader`."""
        return self._named(await self._client.get(self._node, _path(model_id), ModelView))

    async def start(self, request: PullRequest, correlation_id: str) -> PullView:  # noqa: ARG002 - the client sends it
        """See `ModelFetcher`."""
        return self._named(await self._client.post(self._node, MODELS, PullView, request))

    async def follow(self, request: PullRequest) -> AsyncGenerator[PreparationStep | ModelView]:
        """See `ModelFetcher`."""
        async with self._client.events(self._node, MODELS, request) as events, aclosing(events):
            async for name, data in events:
                try:
                    match name:
                        case b"progress":
                            yield PreparationStep.model_validate_json(data)
                        case b"model":
                            yield self._named(ModelView.model_validate_json(data))
                            return
                        case b"error":
                            raise error_of(ErrorBody.model_validate_json(data), self._node)
                except ValidationError as error:
                    self._cut("sent an event that is not of our API", error)
        self._cut("broke off before the model was there; asked again it goes on", None)

    async def retire(self, model_id: str) -> ModelView:
        """See `ModelKeeper`."""
        return await self._change("DELETE", _path(model_id))

    async def purge(self, model_id: str) -> None:
        """See `ModelKeeper`."""
        path = f"{_path(model_id)}?purge=true"
        await self._client.delete(self._node, path, timeout_s=RUN_TIMEOUT_S)

    async def verify(self, model_id: str) -> VerificationView:
        """See `ModelKeeper`."""
        path = f"{_path(model_id)}/verify"
        found = await self._client.post(
            self._node, path, VerificationView, timeout_s=VERIFY_TIMEOUT_S
        )
        return self._named(found)

    async def set_state(self, model_id: str, state: str) -> ModelView:
        """See `ModelKeeper`."""
        wish = StateRequest.model_validate({"state": state})
        return await self._change("PATCH", f"{_path(model_id)}/state", wish)

    async def pin(self, model_id: str, *, pinned: bool) -> ModelView:
        """See `ModelKeeper`."""
        return await self._change("POST", f"{_path(model_id)}/pin", PinRequest(pinned=pinned))

    async def plan(self) -> GcPlanView:
        """See `ModelCollector`."""
        told = await self._client.get(self._node, PLAN, GcPlanView)
        return told.model_copy(update={"decisions": self._all_named(told.decisions)})

    async def run(self) -> GcRunView:
        """See `ModelCollector`."""
        told = await self._client.post(self._node, RUN, GcRunView, timeout_s=RUN_TIMEOUT_S)
        return told.model_copy(update={"steps": self._all_named(told.steps)})

    async def view(self) -> CacheView:
        """See `ModelStager`."""
        told = await self._client.get(self._node, CACHE, CacheView)
        return told.model_copy(update={"models": self._all_named(told.models)})

    async def stage(self, model_id: str, *, pinned: bool) -> StagedView:
        """See `ModelStager`."""
        path, wish = _path(model_id, CACHE), StagingRequest(pinned=pinned)
        return self._named(await self._client.post(self._node, path, StagedView, wish))

    async def unstage(self, model_id: str) -> None:
        """See `ModelStager`."""
        await self._client.delete(self._node, _path(model_id, CACHE))

    async def _change(self, method: str, path: str, wish: BaseModel | None = None) -> ModelView:
        return self._named(await self._client.call(method, self._node, path, ModelView, wish))

    def _named(self, view: _View) -> _View:
        return view.model_copy(update={"node_id": self._node.node_id})

    def _all_named(self, views: Sequence[_View]) -> tuple[_View, ...]:
        return tuple(self._named(view) for view in views)

    def _cut(self, what: str, error: Exception | None) -> NoReturn:
        raise ApiError(ErrorCode.NODE_UNAVAILABLE, f"node {self._node.node_id} {what}") from error


class EveryDisk:
    """The disks of all nodes that are online, taken together."""

    def __init__(self, registry: ServiceRegistry, client: NodeClient) -> None:
        self._registry = registry
        self._client = client

    async def listing(self) -> ModelList:
        """See `ModelReader`; one entry for each model and node."""
        told, unanswered = await self._ask(lambda disk: disk.listing())
        models = [model for each in told.values() for model in each.models]
        return ModelList(
            models=tuple(sorted(models, key=lambda model: (model.model_id, model.node_id or ""))),
            pulls=tuple(pull for each in told.values() for pull in each.pulls),
            unanswered=unanswered,
        )

    async def model(self, model_id: str) -> ModelView:
        """See `ModelReader`; of several nodes that have it, the first one's entry."""
        return next(iter((await self._having(model_id)).values()))

    async def start(self, request: PullRequest, correlation_id: str) -> PullView:
        """See `ModelFetcher`."""
        return await self._only_disk().start(request, correlation_id)

    async def follow(self, request: PullRequest) -> AsyncGenerator[PreparationStep | ModelView]:
        """See `ModelFetcher`."""
        async with aclosing(self._only_disk().follow(request)) as steps:
            async for step in steps:
                yield step

    async def retire(self, model_id: str) -> ModelView:
        """See `ModelKeeper`."""
        return await (await self._only_disk_with(model_id)).retire(model_id)

    async def purge(self, model_id: str) -> None:
        """See `ModelKeeper`."""
        await (await self._only_disk_with(model_id)).purge(model_id)

    async def verify(self, model_id: str) -> VerificationView:
        """See `ModelKeeper`."""
        return await (await self._only_disk_with(model_id)).verify(model_id)

    async def set_state(self, model_id: str, state: str) -> ModelView:
        """See `ModelKeeper`."""
        return await (await self._only_disk_with(model_id)).set_state(model_id, state)

    async def pin(self, model_id: str, *, pinned: bool) -> ModelView:
        """See `ModelKeeper`."""
        return await (await self._only_disk_with(model_id)).pin(model_id, pinned=pinned)

    async def plan(self) -> GcPlanView:
        """See `ModelCollector`."""
        told, unanswered = await self._ask(lambda disk: disk.plan())
        plans = told.values()
        decisions = [decision for plan in plans for decision in plan.decisions]
        return GcPlanView(
            decisions=tuple(sorted(decisions, key=lambda decision: decision.action != "delete")),
            disk_total_bytes=sum(plan.disk_total_bytes for plan in plans),
            disk_free_bytes=sum(plan.disk_free_bytes for plan in plans),
            wanted_free_bytes=sum(plan.wanted_free_bytes for plan in plans),
            freed_bytes=sum(plan.freed_bytes for plan in plans),
            shortfall_bytes=sum(plan.shortfall_bytes for plan in plans),
            unanswered=unanswered,
        )

    async def run(self) -> GcRunView:
        """See `ModelCollector`: every node collects by its own policy."""
        told, unanswered = await self._ask(lambda disk: disk.run())
        return GcRunView(
            steps=tuple(step for each in told.values() for step in each.steps),
            freed_bytes=sum(each.freed_bytes for each in told.values()),
            unanswered=unanswered,
        )

    async def view(self) -> CacheView:
        """See `ModelStager`."""
        told, unanswered = await self._ask(lambda disk: disk.view())
        caches = told.values()
        return CacheView(
            budget_bytes=sum(cache.budget_bytes for cache in caches),
            used_bytes=sum(cache.used_bytes for cache in caches),
            hits=sum(cache.hits for cache in caches),
            misses=sum(cache.misses for cache in caches),
            evictions=sum(cache.evictions for cache in caches),
            models=tuple(model for cache in caches for model in cache.models),
            unanswered=unanswered,
        )

    async def stage(self, model_id: str, *, pinned: bool) -> StagedView:
        """See `ModelStager`."""
        return await (await self._only_disk_with(model_id)).stage(model_id, pinned=pinned)

    async def unstage(self, model_id: str) -> None:
        """See `ModelStager`."""
        await (await self._only_disk_with(model_id)).unstage(model_id)

    async def _ask(
        self, question: Callable[[NodeDisk], Awaitable[_Answer]]
    ) -> tuple[dict[str, _Answer], tuple[NodeTrouble, ...]]:
        """Ask all at once; raises only what no node is to blame for."""
        answers: dict[str, _Answer] = {}
        troubles: list[NodeTrouble] = []

        async def ask(node: NodeLease) -> None:
            try:
                if not node.online:
                    raise ApiError(ErrorCode.NODE_UNAVAILABLE, f"node {node.node_id} is silent")
                answers[node.node_id] = await question(NodeDisk(node, self._client))
            except ApiError as error:
                trouble = NodeTrouble(node_id=node.node_id, code=error.code, message=error.message)
                troubles.append(trouble)

        async with asyncio.TaskGroup() as group:
            for node in self._registry.nodes():
                group.create_task(ask(node), name=f"ask {node.node_id}")
        ordered = {node_id: answers[node_id] for node_id in sorted(answers)}
        return ordered, tuple(sorted(troubles, key=lambda trouble: trouble.node_id))

    def _only_disk(self) -> NodeDisk:
        """Return the disk of the only node there is. Raises ApiError."""
        nodes = tuple(self._registry.nodes())
        if len(nodes) != 1:
            names = tuple(sorted(node.node_id for node in nodes))
            raise ApiError(
                ErrorCode.INVALID_PARAMS if names else ErrorCode.NODE_UNAVAILABLE,
                f"node_id: say to which node the model is brought: {', '.join(names)}"
                if names
                else "no node is known to which a model could be brought",
                candidates=names[:16] or None,
            )
        return NodeDisk(nodes[0], self._client)

    async def _only_disk_with(self, model_id: str) -> NodeDisk:
        """Return the only disk that has a model. Raises ApiError."""
        names = tuple(await self._having(model_id))
        node = self._registry.get(names[0])
        if len(names) > 1 or node is None:
            raise ApiError(
                ErrorCode.INVALID_PARAMS,
                f"node_id: model {model_id!r} is on several nodes, say which: {', '.join(names)}",
                candidates=names[:16],
            )
        return NodeDisk(node, self._client)

    async def _having(self, model_id: str) -> dict[str, ModelView]:
        """Return what the nodes say of a model that have it: one at least. Raises ApiError."""
        found, troubles = await self._ask(lambda disk: disk.model(model_id))
        missing = [each for each in troubles if each.code != ErrorCode.MODEL_NOT_FOUND]
        if found:
            return found
        if missing:
            raise ApiError(missing[0].code, missing[0].message)
        known = {model.model_id for node in self._registry.nodes() for model in node.models}
        raise ApiError(
            ErrorCode.MODEL_NOT_FOUND,
            f"no node has a model {model_id!r}",
            hint="GET /v2/catalog/availability tells where each model is",
            candidates=tuple(sorted(known))[:16] or None,
        )


def _disk(one: NodeDisk | EveryDisk) -> Disk:
    return Disk(reader=one, fetcher=one, keeper=one, collector=one, stager=one)


def _path(model_id: str, of: str = MODELS) -> str:
    return f"{of}/{quote(model_id, safe='')}"
