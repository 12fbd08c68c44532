"""Models on a disk: what there is, what is fetched, and what a collection would delete."""

from typing import Annotated, Literal

from pydantic import BeforeValidator

from api_types.errors import ErrorBody, ErrorCode
from api_types.fields import ModelRefText, only_true_or_false
from api_types.resources import NodeQuery
from api_types.task_views import PreparationStep
from pool_registry_types import ByteCount, ClientModel, Count, Digest, ServiceModel

PULL_EVENTS = ("progress", "model", "error")
"""The events of the stream of a pull; exactly one of the last two ends it."""


class NodeTrouble(ServiceModel):
    """A node whose part is missing in an answer about several."""

    node_id: str
    code: ErrorCode
    message: str


class ModelView(ServiceModel):
    """A model as the catalog of one node knows it."""

    model_id: str
    node_id: str | None = None
    """On whose disk it is."""
    reference: str
    state: str
    digest: str | None = None
    size_bytes: int | None = None
    ctx_max: int | None = None
    architecture: str | None = None
    quantization: str | None = None
    served_by: tuple[str, ...] = ()
    pinned: bool = False
    last_used_ms: Count | None = None
    """Unix time."""
    verdict: str | None = None
    """What the last verification found."""


class PullView(ServiceModel):
    """A model that is being brought here, or could not be."""

    reference: str
    node_id: str | None = None
    """To whose disk it is brought."""
    state: Literal["running", "done", "failed"]
    step: PreparationStep | None = None
    """The newest step, once there is one."""
    model: ModelView | None = None
    """Once it is done."""
    error: ErrorBody | None = None
    """Once it has failed."""


class ModelList(ServiceModel):
    """`GET /v2/catalog/models`."""

    models: tuple[ModelView, ...] = ()
    pulls: tuple[PullView, ...] = ()
    """What is being brought here in the background, and what failed since the start."""
    unanswered: tuple[NodeTrouble, ...] = ()
    """The nodes whose models are missing."""


class PullRequest(ClientModel):
    """`POST /v2/catalog/models`."""

    reference: ModelRefText
    digest: Digest | None = None
    """What the model must have; any other is refused and not kept."""


class RemovalQuery(NodeQuery):
    """The query of `DELETE /v2/catalog/models/{id}`."""

    purge: Annotated[bool, BeforeValidator(only_true_or_false)] = False
    """Delete its files now, whatever the policy says."""


class StateRequest(ClientModel):
    """`PATCH /v2/catalog/models/{id}/state`."""

    state: Literal["Active", "Retired"]


class PinRequest(ClientModel):
    """`POST /v2/catalog/models/{id}/pin`."""

    pinned: bool = True


class VerificationView(ServiceModel):
    """What was found when all files of a model were read against their digests."""

    model_id: str
    node_id: str | None = None
    verdict: Literal["intact", "changed", "missing"]
    expected: str
    found: str | None = None
    bad_files: tuple[str, ...] = ()


class GcDecisionView(ServiceModel):
    """What a collection does with one model, and why."""

    model_id: str
    node_id: str | None = None
    action: Literal["keep", "delete"]
    reason: str
    explanation: str
    size_bytes: ByteCount
    freed_bytes: ByteCount = 0


class GcPlanView(ServiceModel):
    """What a collection would do now; deletions come first, in their order.

    Of several nodes, each collects by its own policy and the bytes are sums.
    """

    decisions: tuple[GcDecisionView, ...] = ()
    disk_total_bytes: ByteCount
    disk_free_bytes: ByteCount
    wanted_free_bytes: ByteCount
    freed_bytes: ByteCount
    shortfall_bytes: ByteCount
    """What stays missing of `wanted_free_bytes` after all deletions that the policy allows."""
    unanswered: tuple[NodeTrouble, ...] = ()
    """The nodes whose plans are missing."""


class GcStepView(ServiceModel):
    """What became of one deletion."""

    model_id: str
    node_id: str | None = None
    outcome: Literal["deleted", "in_use", "changed", "failed"]
    explanation: str
    freed_bytes: ByteCount = 0


class GcRunView(ServiceModel):
    """What a collection did."""

    steps: tuple[GcStepView, ...] = ()
    freed_bytes: ByteCount = 0
    unanswered: tuple[NodeTrouble, ...] = ()
    """The nodes that could not be told to collect, or did not say what they did."""
