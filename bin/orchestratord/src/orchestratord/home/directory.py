"""Which model a task means: by id, by reference, by alias, or the only one there is."""

import asyncio
from collections.abc import Callable, Mapping

from admission_coordinator import ModelChoice
from api_types import ApiError, ErrorCode, PreparationStep
from catalog_core import Catalog, GgufHeader, ModelEntry, ModelState
from multi_node_placement import ClusterView, ServedModel
from orchestratord.home.wanted import WantedModels, fetchable
from orchestratord.unknown import unknown_model

_F16_BYTES = 2


class HomeDirectory:
    """Fulfils `admission_coordinator.ModelDirectory` from the cluster view and the catalog."""

    def __init__(
        self,
        cluster: ClusterView,
        *,
        aliases: Mapping[str, str],
        catalog: Catalog,
        wanted: WantedModels,
    ) -> None:
        self._cluster = cluster
        self._aliases = aliases
        self._catalog = catalog
        self._wanted = wanted
        self._known: tuple[ModelEntry, ...] = ()
        self._served: Mapping[str, ServedModel] = {}
        self._choices: dict[str | None, ModelChoice] = {}
        """What names of served models meant, as long as these stay the same."""
        self.changed: Callable[[], None] = lambda: None
        """Called when other models than before may be loaded."""

    async def refresh(self) -> None:
        """Read the catalog again; to be called whenever pools have changed."""
        before = self.loadable()
        self._known = await asyncio.to_thread(self._catalog.list)
        self._choices.clear()
        if self.loadable() != before:
            self.changed()

    def loadable(self) -> Mapping[str, str]:
        """Return what a swapping pool may load: every Active model, with its reference."""
        return {e.id: e.reference for e in self._known if e.state is ModelState.ACTIVE}

    def resolve(self, model_ref: str | None) -> ModelChoice:
        """Return the model; raises `ApiError` with the near names of an unknown one."""
        served = self._cluster.models()
        if served is not self._served:
            self._served, self._choices = served, {}
        choice = self._choices.get(model_ref)
        if choice is not None:
            return choice
        if model_ref is None:
            choice = self._choices[None] = self._choice(self._only_one())
            return choice
        wanted = self._aliases.get(model_ref, model_ref)
        if wanted in served:
            choice = self._choices[model_ref] = self._choice(wanted)
            return choice
        names = {wanted, str(fetchable(wanted) or wanted)}
        for entry in self._known:
            if entry.id == wanted or entry.reference in names:
                return self._choice(entry.id)
        ids = [entry.id for entry in self._known]
        claimed = self._wanted.claim(wanted, taken=ids)
        if claimed is not None:
            return self._choice(claimed)
        raise unknown_model(
            model_ref,
            before="no model",
            after=" is known here",
            ids={*served, *ids},
            references=[entry.reference for entry in self._known],
            aliases=self._aliases,
        )

    def fetching(self, model_id: str) -> PreparationStep | None:
        """Return how far the fetch of a model is; None where there is none to wait for."""
        return self._wanted.step(model_id)

    def _only_one(self) -> str:
        served = sorted(self._cluster.models())
        if len(served) == 1:
            return served[0]
        if served:
            raise ApiError(
                ErrorCode.INVALID_PARAMS,
                f"model_ref is needed, since several models are served: {', '.join(served)}",
                candidates=tuple(served),
            )
        raise ApiError(
            ErrorCode.MODEL_NOT_AVAILABLE,
            "no model is served yet",
            hint="GET /v2/pools tells what each pool waits for",
        )

    def _choice(self, model_id: str) -> ModelChoice:
        served = self._cluster.models().get(model_id)
        entry = next((entry for entry in self._known if entry.id == model_id), None)
        return ModelChoice(
            model_id=model_id,
            ctx_max=None if served is None else served.ctx_max,
            kv_bytes_per_token=0 if entry is None else kv_bytes_per_token(entry.header),
        )


def kv_bytes_per_token(header: GgufHeader) -> int:
    """Return what one token of context costs: a key and a value a layer and KV head, in f16."""
    heads = header.head_count or 0
    if not heads:
        return 0
    head_size = (header.embedding_length or 0) // heads
    kv_heads = header.head_count_kv or heads
    return 2 * (header.block_count or 0) * kv_heads * head_size * _F16_BYTES
