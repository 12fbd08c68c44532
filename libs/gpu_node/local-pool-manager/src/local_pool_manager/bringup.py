"""From the configuration of a pool to the plan of its engines."""

from catalog_core import ModelEntry
from engine_provisioner import EngineMode, EngineWish, PreflightError
from gpu_discovery import DeviceMaskError, DevicePolicy, GpuInventory, check, resolve_mask
from local_pool_manager.config import DEFAULT_CTX_TOKENS, PoolConfig
from local_pool_manager.errors import PoolError
from pool_registry_types import GpuInfo, HandoffModel


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
    config: PoolConfig, replica_id: str, model: ModelEntry, gpus: tuple[GpuInfo, ...]
) -> EngineWish:
    """Return what one replica needs; raises `PreflightError` when the model cannot give it."""
    trained = model.header.context_length
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
        threads=config.threads,
        embeddings=config.embeddings,
        rerank=config.rerank,
        prompt_cache=config.caches_prompts,
        mode=EngineMode(config.provisioning.mode),
        engine=config.engine,
    )


def retry_pause_s(attempt: int) -> float:
    """Return how long a pool waits before it tries again to get its model or its devices."""
    return float(min(60, 2**attempt))
