"""From the configuration of a pool to the plan of its engines."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from catalog_core import ModelEntry
from engine_provisioner import (
    EngineError,
    EngineMode,
    EnginePlan,
    EngineWish,
    MayAsk,
    OnMaking,
    PreflightError,
    Survey,
    anybody,
    plan_engine,
    prepare,
    survey_machine,
    unheard_of,
)
from gpu_discovery import DeviceMaskError, DevicePolicy, GpuInventory, check, resolve_mask
from local_pool_manager.config import DEFAULT_CTX_TOKENS, PoolConfig
from local_pool_manager.crew import Target
from local_pool_manager.errors import PoolError
from local_pool_manager.memory import HeadSizes, MemoryNeed, estimate, measured
from local_pool_manager.ports import ModelSource
from local_pool_manager.records import MeasuredMemory
from pool_registry_types import GpuInfo, HandoffModel

METADATA_BYTES = 1 << 20
"""How far into a GGUF file its architecture's keys are looked for; they come first."""


class DevicesMissing(PoolError):
    """The device policy forbids to start the pool on this machine as it is."""

    code = "POOL_UNAVAILABLE"
    retriable = True


class ModelMissing(PoolError):
    """The model cannot be brought to this disk."""

    code = "MODEL_NOT_AVAILABLE"
    retriable = True


def choose_devices(
    config: PoolConfig, policy: DevicePolicy, inventory: GpuInventory
) -> tuple[GpuInfo, ...]:
    """Return the GPUs of the pool, none under the cpu policy; raises `DevicesMissing`."""
    verdict = check(policy, inventory)
    if not verdict.allowed:
        raise DevicesMissing(verdict.message)
    if policy is DevicePolicy.CPU:
        return ()
    if not config.devices:
        return inventory.infos
    try:
        return resolve_mask(",".join(config.devices), inventory.infos)
    except DeviceMaskError as error:
        raise DevicesMissing(str(error)) from error


def wish_for(
    config: PoolConfig,
    model: ModelEntry,
    gpus: tuple[GpuInfo, ...],
    replica_id: str = "r0",
) -> EngineWish:
    """Return what one replica needs; raises `PreflightError` when the model cannot give it."""
    provisioning, trained = config.provisioning, model.header.context_length
    ctx = config.ctx or min(trained or DEFAULT_CTX_TOKENS, DEFAULT_CTX_TOKENS)
    if trained and ctx > trained:
        raise PreflightError(
            f"pool {config.id!r}: ctx {ctx} is more than the {trained} tokens that model "
            f"{model.id!r} was trained for; llama.cpp would cut it silently"
        )
    return EngineWish(
        pool_id=config.id,
        replica_id=replica_id,
        model=HandoffModel(
            id=model.id, path=str(model.path), digest=model.digest, size_bytes=model.size_bytes
        ),
        slots=config.slots,
        ctx_tokens=ctx,
        on_gpu=bool(gpus),
        # By UUID: CUDA counts devices in another order than NVML does.
        devices=tuple(gpu.uuid for gpu in gpus),
        tensor_split=config.tensor_split,
        threads=config.threads,
        embeddings=config.embeddings,
        rerank=config.rerank,
        prompt_cache=config.caches_prompts,
        mode=EngineMode(provisioning.mode),
        engine=config.engine,
        executable=provisioning.path,
        executable_sha256=provisioning.sha256,
        url=provisioning.url,
        image=provisioning.image,
        runtime=provisioning.runtime,
        tree=provisioning.source,
        version=provisioning.version,
        index=provisioning.index,
    )


def read_head_sizes(path: Path, architecture: str) -> HeadSizes | None:
    """Return the widths of the heads where a GGUF file tells them apart from its embedding."""
    try:
        with path.open("rb") as file:
            start = file.read(METADATA_BYTES)
    except OSError:
        return None  # The engine's own start will say why it cannot be read.
    key, value = (
        _uint32_after(start, f"{architecture}.attention.{name}_length".encode())
        for name in ("key", "value")
    )
    return HeadSizes(key, value) if key and value else None


def _uint32_after(data: bytes, name: bytes) -> int | None:
    uint32_type = (4).to_bytes(4, "little")
    _, found, rest = data.partition(len(name).to_bytes(8, "little") + name + uint32_type)
    return int.from_bytes(rest[:4], "little") if found and len(rest) >= 4 else None


class Planner:
    """Turns configurations into plans; what the machine offers is looked up once."""

    def __init__(
        self,
        models: ModelSource,
        gpus: Callable[[], GpuInventory],
        policy: DevicePolicy,
        *,
        seen: MeasuredMemory,
        build_dir: Path,
        may_ask: MayAsk = anybody,
    ) -> None:
        self._models = models
        self._gpus = gpus
        self._policy = policy
        self._seen = seen
        self._survey: Survey | None = None
        self._surveying = asyncio.Lock()
        self._build_dir = build_dir
        self._may_ask = may_ask
        self._preparing = asyncio.Lock()
        self._builds: dict[str, frozenset[Path]] = {}

    def builds(self, pool_id: str) -> frozenset[Path]:
        """Return the folders below the build folder that the last plan of a pool runs from."""
        return self._builds.get(pool_id, frozenset())

    def devices(self, config: PoolConfig) -> tuple[GpuInfo, ...]:
        """Return the GPUs of the pool as they are now; raises `DevicesMissing`."""
        return choose_devices(config, self._policy, self._gpus())

    async def plan(
        self,
        config: PoolConfig,
        model_ref: str,
        lanes: Mapping[str, int],
        *,
        gpus: tuple[GpuInfo, ...],
        on_making: OnMaking = unheard_of,
    ) -> Target:
        """Bring the model here and plan each replica; raises `PoolError` or `EngineError`.

        `lanes` are the replicas by id, each with the lane that its engine gets. `on_making` is
        told what has to be built, installed or fetched for the engine.
        """
        model = await self.bring(model_ref)
        async with self._surveying:
            self._survey = survey = self._survey or await survey_machine()
        try:
            async with self._preparing:
                wish, survey = await prepare(
                    wish_for(config, model, gpus),
                    survey,
                    self._build_dir,
                    may_ask=self._may_ask,
                    on_making=on_making,
                )
            self._builds[config.id] = self._made_for(wish)
            wishes = [
                replace(wish, replica_id=replica_id, lane=lane)
                for replica_id, lane in lanes.items()
            ]
            plans = await asyncio.to_thread(_plan_all, wishes, survey)
        except EngineError:
            # The operator may install what is missing.
            self._survey = None
            raise
        need = await asyncio.to_thread(self._need, model, plans[0])
        return Target(model_ref, model, plans, need)

    async def bring(self, model_ref: str) -> ModelEntry:
        """Bring a model to this disk; raises `ModelMissing`."""
        try:
            return await self._models.ensure(model_ref)
        except Exception as error:  # whatever a source of models raises, its text is the reason
            raise ModelMissing(str(error) or type(error).__name__) from error

    def _made_for(self, wish: EngineWish) -> frozenset[Path]:
        programs = (path for path in (wish.python, wish.executable) if path is not None)
        return frozenset(
            self._build_dir / path.relative_to(self._build_dir).parts[0]
            for path in programs
            if path.is_relative_to(self._build_dir)
        )

    def _need(self, model: ModelEntry, plan: EnginePlan) -> MemoryNeed:
        """Return what one engine takes: as it was seen, or else computed from the file."""
        seen = self._seen.of(plan)
        if seen is not None:
            return measured(seen)
        wish = plan.wish
        heads = read_head_sizes(model.path, model.header.architecture)
        return estimate(model.header, ctx_tokens=wish.ctx_tokens, slots=wish.slots, heads=heads)


def _plan_all(wishes: list[EngineWish], survey: Survey) -> tuple[EnginePlan, ...]:
    # In a thread, since files are looked into.
    return tuple(plan_engine(wish, survey) for wish in wishes)


def retry_pause_s(attempt: int) -> float:
    """Return how long a pool waits before it tries again to get its model or its devices."""
    return float(min(60, 2**attempt))
