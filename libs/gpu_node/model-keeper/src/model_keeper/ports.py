"""What the routes of models need, be it of this disk or of those of other machines."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from api_types import (
    CacheView,
    GcPlanView,
    GcRunView,
    ModelList,
    ModelView,
    PreparationStep,
    PullRequest,
    PullView,
    StagedView,
    VerificationView,
)


class ModelReader(Protocol):
    """Tells what there is; calls may raise ApiError."""

    async def listing(self) -> ModelList:
        """Return all models, and what is on its way."""
        ...

    async def model(self, model_id: str) -> ModelView:
        """Return one; MODEL_NOT_FOUND with near names."""
        ...


class ModelFetcher(Protocol):
    """Brings models to a disk; calls may raise ApiError."""

    async def start(self, request: PullRequest, correlation_id: str) -> PullView:
        """Fetch in the background; asked again, tell how far it is."""
        ...

    def follow(self, request: PullRequest) -> AsyncGenerator[PreparationStep | ModelView]:
        """Fetch, and tell the steps; the model is last. Closing it leaves the fetch."""
        ...


class ModelKeeper(Protocol):
    """Changes what a catalog says; every call may raise ApiError."""

    async def retire(self, model_id: str) -> ModelView:
        """Offer it no longer; MODEL_IN_USE while it is needed."""
        ...

    async def purge(self, model_id: str) -> None:
        """Delete it now; MODEL_IN_USE while it is needed or pinned."""
        ...

    async def verify(self, model_id: str) -> VerificationView:
        """Read all its files."""
        ...

    async def set_state(self, model_id: str, state: str) -> ModelView:
        """Make it Active or Retired."""
        ...

    async def pin(self, model_id: str, *, pinned: bool) -> ModelView:
        """Keep it from being deleted, or no longer."""
        ...


class ModelCollector(Protocol):
    """Deletes models by a policy; calls may raise ApiError."""

    async def plan(self) -> GcPlanView:
        """Return what would be done now."""
        ...

    async def run(self) -> GcRunView:
        """Do it."""
        ...


class ModelStager(Protocol):
    """Keeps models in RAM; calls may raise ApiError."""

    async def view(self) -> CacheView:
        """Return what is staged."""
        ...

    async def stage(self, model_id: str, *, pinned: bool) -> StagedView:
        """Begin to bring a model into RAM."""
        ...

    async def unstage(self, model_id: str) -> None:
        """Let its RAM go."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The models of one machine, or of several taken together, and what may be done to them."""

    reader: ModelReader
    fetcher: ModelFetcher
    keeper: ModelKeeper
    collector: ModelCollector
    stager: ModelStager


class Disks(Protocol):
    """Finds the disk that a call means."""

    def of(self, node_id: str | None) -> Disk:
        """Return that of a node, or all there are. Raises ApiError NODE_UNKNOWN."""
        ...
