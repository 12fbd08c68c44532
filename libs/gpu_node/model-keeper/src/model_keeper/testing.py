"""A disk with one model, `recital`, and a source that says what the test wants."""

# ruff: noqa: ARG002 - a fake answers the same whatever it is asked

from collections.abc import AsyncGenerator

from api_types import (
    ApiError,
    CacheView,
    ErrorCode,
    GcDecisionView,
    GcPlanView,
    GcRunView,
    GcStepView,
    ModelList,
    ModelView,
    PreparationStep,
    PullRequest,
    PullView,
    StagedView,
    VerificationView,
)
from model_keeper.ports import Disk

RECITAL = ModelView(model_id="recital", reference="file:/recital.gguf", state="Active")


class FakeFetcher:
    """Tells `steps`, then fails with `error` or brings the model."""

    def __init__(self) -> None:
        self.steps: tuple[PreparationStep, ...] = ()
        self.error: ApiError | None = None
        self.started: list[PullRequest] = []
        self.left = 0

    async def start(self, request: PullRequest, correlation_id: str) -> PullView:
        """Note the wish."""
        self.started.append(request)
        return self.pulls()[-1]

    async def follow(self, request: PullRequest) -> AsyncGenerator[PreparationStep | ModelView]:
        """Tell what the test wants."""
        try:
            for step in self.steps:
                yield step
            if self.error is not None:
                raise self.error
            yield RECITAL
        finally:
            self.left += 1

    def pulls(self) -> tuple[PullView, ...]:
        """Return what was started."""
        return tuple(PullView(reference=each.reference, state="running") for each in self.started)


class FakeKeeper:
    """Keeps the one model; `in_use` protects it."""

    def __init__(self) -> None:
        self.model: ModelView | None = RECITAL
        self.in_use = False

    async def retire(self, model_id: str) -> ModelView:
        """Retire it, unless it is in use."""
        self._check_free(model_id)
        return self._changed(model_id, state="Retired")

    async def purge(self, model_id: str) -> None:
        """Delete it, unless it is in use."""
        self._check_free(model_id)
        self.model = None

    async def verify(self, model_id: str) -> VerificationView:
        """Find it intact."""
        self._changed(model_id)
        return VerificationView(model_id=model_id, verdict="intact", expected="sha256:0")

    async def set_state(self, model_id: str, state: str) -> ModelView:
        """Change its state."""
        return self._changed(model_id, state=state)

    async def pin(self, model_id: str, *, pinned: bool) -> ModelView:
        """Pin it."""
        return self._changed(model_id, pinned=pinned)

    def _check_free(self, model_id: str) -> None:
        self._changed(model_id)
        if self.in_use:
            raise ApiError(ErrorCode.MODEL_IN_USE, "pool default serves it")

    def find(self, model_id: str) -> ModelView:
        """Return it by name."""
        if self.model is None or model_id != self.model.model_id:
            known = () if self.model is None else (self.model.model_id,)
            raise ApiError(
                ErrorCode.MODEL_NOT_FOUND, f"no model {model_id}", candidates=known or None
            )
        return self.model

    def _changed(self, model_id: str, **update: object) -> ModelView:
        self.model = self.find(model_id).model_copy(update=update)
        return self.model


class FakeCollector:
    """Would delete one model; counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    async def plan(self) -> GcPlanView:
        """Return the one deletion."""
        decision = GcDecisionView(
            model_id="old",
            action="delete",
            reason="retired_long",
            explanation="it was retired 9 days ago",
            size_bytes=7,
            freed_bytes=7,
        )
        return GcPlanView(
            decisions=(decision,),
            disk_total_bytes=100,
            disk_free_bytes=10,
            wanted_free_bytes=20,
            freed_bytes=7,
            shortfall_bytes=3,
        )

    async def run(self) -> GcRunView:
        """Count."""
        self.runs += 1
        step = GcStepView(
            model_id="old", outcome="deleted", explanation="it was deleted", freed_bytes=7
        )
        return GcRunView(steps=(step,), freed_bytes=7)


class FakeReader:
    """Lists what the others know."""

    def __init__(self, fetcher: FakeFetcher, keeper: FakeKeeper) -> None:
        self._fetcher = fetcher
        self._keeper = keeper

    async def listing(self) -> ModelList:
        """Return the model, and the pulls."""
        models = () if self._keeper.model is None else (self._keeper.model,)
        return ModelList(models=models, pulls=self._fetcher.pulls())

    async def model(self, model_id: str) -> ModelView:
        """Return it by name."""
        return self._keeper.find(model_id)


class FakeStager:
    """Has room for one model, which is staged at once; `in_use` refuses it."""

    def __init__(self) -> None:
        self.staged: StagedView | None = None
        self.in_use = False

    async def view(self) -> CacheView:
        """Return the one model."""
        models = () if self.staged is None else (self.staged,)
        used = sum(model.size_bytes for model in models)
        return CacheView(
            budget_bytes=7, used_bytes=used, hits=0, misses=0, evictions=0, models=models
        )

    async def stage(self, model_id: str, *, pinned: bool) -> StagedView:
        """Stage it."""
        if self.in_use:
            raise ApiError(ErrorCode.MODEL_IN_USE, "pool default serves it")
        self.staged = StagedView(model_id=model_id, state="staged", size_bytes=7, pinned=pinned)
        return self.staged

    async def unstage(self, model_id: str) -> None:
        """Let it go."""
        if self.staged is None or self.staged.model_id != model_id:
            raise ApiError(ErrorCode.MODEL_NOT_FOUND, f"model {model_id} is not staged")
        self.staged = None


class FakeDisk:
    """All of them together, on the machine `node`; fulfils `Disks`."""

    def __init__(self) -> None:
        self.fetcher = FakeFetcher()
        self.keeper = FakeKeeper()
        self.collector = FakeCollector()
        self.stager = FakeStager()
        self.reader = FakeReader(self.fetcher, self.keeper)

    def of(self, node_id: str | None) -> Disk:
        """Return them as handlers want them."""
        if node_id not in (None, "node"):
            raise ApiError(ErrorCode.NODE_UNKNOWN, f"no node {node_id} is known")
        return Disk(
            reader=self.reader,
            fetcher=self.fetcher,
            keeper=self.keeper,
            collector=self.collector,
            stager=self.stager,
        )
