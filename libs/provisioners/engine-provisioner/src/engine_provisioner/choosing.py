"""Which way an engine comes: as the operator says, else the first that works for a GPU."""

from engine_provisioner.errors import EngineNotAvailableError, ModeNotProvidedError
from engine_provisioner.survey import Survey
from engine_provisioner.wish import KEY_VARIABLES, LLAMACPP, EngineMode, EngineWish


def choose_mode(wish: EngineWish, survey: Survey) -> EngineMode:
    """Return the way; raises an `EngineError` that names every one when none works.

    Only mode `package` leaves a choice, as it is the default, and only on a GPU, which the wheel
    of the public index does not know.
    """
    if wish.engine not in KEY_VARIABLES:
        known = " and ".join(map(repr, KEY_VARIABLES))
        raise ModeNotProvidedError(
            f"pool {wish.pool_id!r}: engine {wish.engine!r} is not provided by this version, which "
            f"provides {known}; use mode 'external' with an engine that you start yourself"
        )
    if wish.mode is not EngineMode.PACKAGE or wish.engine != LLAMACPP or not wish.on_gpu:
        return wish.mode
    if prefers_server_on_path(wish, survey):
        return EngineMode.BINARY
    if survey.wheel_gpus:
        return EngineMode.PACKAGE
    if wish.image is not None and container_runtime(wish, survey):
        return EngineMode.CONTAINER
    if wish.tree is not None and survey.nvcc:
        return EngineMode.SOURCE
    raise EngineNotAvailableError(_no_gpu_engine(wish, survey))


def prefers_server_on_path(wish: EngineWish, survey: Survey) -> bool:
    """Return whether a server that was built for this GPU is there, and no version was named."""
    return (
        wish.mode is EngineMode.PACKAGE
        and wish.engine == LLAMACPP
        and wish.on_gpu
        and wish.version is None
        and survey.llama_server_gpus
    )


def container_runtime(wish: EngineWish, survey: Survey) -> str | None:
    """Return the program that runs containers for a pool."""
    if wish.runtime is None:
        return survey.podman or survey.docker
    return survey.podman if wish.runtime == "podman" else survey.docker


def _no_gpu_engine(wish: EngineWish, survey: Survey) -> str:
    server = (
        f"llama-server at {survey.llama_server} sees no GPU"
        if survey.llama_server
        else "no llama-server on the PATH (mode binary)"
    )
    wheel = (
        f"xllamacpp {survey.wheel_version} sees no GPU (the wheel of the public index is CPU-only; "
        "name an index with CUDA wheels as provisioning.index)"
        if survey.wheel_version
        else f"xllamacpp is not usable ({survey.wheel_trouble})"
    )
    runtime = container_runtime(wish, survey)
    container = (
        f"no image is named for a container by {runtime} (provisioning.image)"
        if runtime
        else f"no container runtime ({wish.runtime or 'podman or docker'}) on the PATH"
    )
    source = (
        f"no source tree is named for nvcc at {survey.nvcc} (provisioning.source)"
        if survey.nvcc
        else "no nvcc for a build from source"
    )
    return (
        f"pool {wish.pool_id!r}: no llama.cpp for the GPU: {server}; {wheel}; {container}; {source}"
    )
