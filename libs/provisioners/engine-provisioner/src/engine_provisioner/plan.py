"""How an engine would be provided: decided from facts, printable, before anything is started."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine_provisioner.errors import (
    EngineNotAvailableError,
    ModeNotProvidedError,
    PreflightError,
)
from engine_provisioner.executable import executable_version
from engine_provisioner.survey import Survey
from pool_registry_types import HandoffModel, HandoffPayload

ENGINE = "llamacpp"
ALL_LAYERS = 99
HTTP_THREADS_SPARE = 8
"""Each open stream holds an HTTP thread; without spare ones /health and a cancel would wait."""
SMALL_MODEL_BYTES = 64 << 20
"""Below this the empty run after loading costs more than it saves."""


class EngineMode(StrEnum):
    """Where an engine comes from."""

    PACKAGE = "package"
    BINARY = "binary"
    SOURCE = "source"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class EngineWish:
    """What a pool wants of one engine process."""

    pool_id: str
    replica_id: str
    model: HandoffModel
    slots: int
    ctx_tokens: int
    """Of one slot."""
    on_gpu: bool
    devices: tuple[str, ...] = ()
    """GPU indexes or UUIDs; empty means all."""
    tensor_split: tuple[float, ...] = ()
    """Shares of the devices, in their order; empty leaves it to the engine."""
    threads: int | None = None
    embeddings: bool = False
    rerank: bool = False
    prompt_cache: bool = True
    mode: EngineMode = EngineMode.PACKAGE
    engine: str = ENGINE
    executable: Path | None = None
    """The `llama-server` of mode `binary` (None: the one on the PATH), or the one built."""
    executable_sha256: str | None = None
    lane: int = 0
    """Of two engines of one replica each has its own: it names their files apart."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """One engine process, ready to be started; equal wishes and facts give equal plans."""

    wish: EngineWish
    mode: EngineMode
    engine_version: str
    program: tuple[str, ...]
    flags: tuple[str, ...]
    """Normalised: they decide whether a living engine is the planned one."""
    environment: Mapping[str, str]
    device_mask: str

    def command(self, status_file: Path) -> tuple[str, ...]:
        """Return the whole command line; the API key is not on it, as every user may read it."""
        return (
            *self.program,
            "--status-file",
            str(status_file),
            "--key-on-stdin",
            *self.flags,
        )

    def differs_from(self, payload: HandoffPayload) -> str | None:
        """Return how the engine of a handoff is not the planned one, None when it is."""
        pairs = (
            ("engine", payload.engine, self.wish.engine),
            ("model", payload.model.id, self.wish.model.id),
            ("model digest", payload.model.digest, self.wish.model.digest),
            ("slots", payload.slots, self.wish.slots),
            ("context", payload.ctx_max, self.wish.ctx_tokens),
            ("devices", payload.device_mask, self.device_mask),
            ("flags", shlex.join(payload.flags), shlex.join(self.flags)),
        )
        changes = [f"{name} {old} instead of {new}" for name, old, new in pairs if old != new]
        return "; ".join(changes) or None

    def __str__(self) -> str:
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        command = shlex.join((*self.program, *self.flags))
        return (
            f"{self.wish.engine} for {self.wish.pool_id}/{self.wish.replica_id} by {self.mode} "
            f"({self.engine_version}) on {self.device_mask}: {' '.join([*variables, command])}"
        )


def plan_engine(wish: EngineWish, survey: Survey) -> EnginePlan:
    """Return the plan, or raise an `EngineError` that says what is missing and what to do."""
    if wish.engine != ENGINE:
        raise ModeNotProvidedError(
            f"pool {wish.pool_id!r}: engine {wish.engine!r} is not provided by this version; "
            f"it provides {ENGINE!r}"
        )
    if wish.mode is EngineMode.CONTAINER:
        raise ModeNotProvidedError(
            f"pool {wish.pool_id!r}: provisioning mode {wish.mode.value!r} is not provided by this "
            "version; use 'package', 'binary', 'source', or 'external' with an engine that you "
            "start yourself"
        )
    # A server that was built for this GPU is the first choice; the public wheel knows no GPU.
    by_path = wish.mode is EngineMode.PACKAGE and wish.on_gpu and survey.llama_server_gpus
    if wish.mode in {EngineMode.BINARY, EngineMode.SOURCE} or by_path:
        return plan_binary(wish, survey)
    if wish.on_gpu and not survey.wheel_gpus:
        raise EngineNotAvailableError(_no_gpu_engine(wish, survey))
    if survey.wheel_version is None:
        raise EngineNotAvailableError(
            f"pool {wish.pool_id!r}: the xllamacpp wheel is not usable ({survey.wheel_trouble}); "
            "install it with: pip install 'engine-provisioner[llamacpp]'"
        )
    _preflight(wish)
    return _plan(
        wish,
        mode=EngineMode.PACKAGE,
        version=f"xllamacpp-{survey.wheel_version}",
        host="llamacpp_host.py",
        flags=_flags(wish, survey),
    )


def plan_binary(wish: EngineWish, survey: Survey) -> EnginePlan:
    """Return the plan for a `llama-server` executable; raises `PreflightError`."""
    executable = wish.executable
    if wish.mode is EngineMode.SOURCE and executable is None:
        raise PreflightError(f"pool {wish.pool_id!r}: its llama-server has not been built yet")
    if executable is None and survey.llama_server is not None:
        executable = Path(survey.llama_server)
    if executable is None:
        raise PreflightError(
            f"pool {wish.pool_id!r}: mode 'binary' needs a llama-server: name its path "
            "(provisioning.path), or put it on the PATH"
        )
    version = executable_version(wish.pool_id, executable, wish.executable_sha256)
    _preflight(wish)
    return _plan(
        wish,
        mode=EngineMode.SOURCE if wish.mode is EngineMode.SOURCE else EngineMode.BINARY,
        version=version,
        host="llama_server_host.py",
        flags=(
            *(("--on-gpu",) if wish.on_gpu else ()),
            "--",
            str(executable),
            *llama_server_flags(wish, survey),
        ),
    )


def _plan(
    wish: EngineWish, *, mode: EngineMode, version: str, host: str, flags: tuple[str, ...]
) -> EnginePlan:
    devices = ",".join(wish.devices)
    return EnginePlan(
        wish=wish,
        mode=mode,
        engine_version=version,
        # As a file and with -P: nothing of this package is imported, nor found by its folder.
        program=(sys.executable, "-P", str(Path(__file__).with_name(host))),
        flags=flags,
        environment={"CUDA_VISIBLE_DEVICES": devices if wish.on_gpu else ""}
        if devices or not wish.on_gpu
        else {},
        device_mask=(devices or "all") if wish.on_gpu else "cpu",
    )


def _flags(wish: EngineWish, survey: Survey) -> tuple[str, ...]:
    switches = {
        "--no-mmap": wish.on_gpu,
        "--no-prompt-cache": not wish.prompt_cache,
        "--no-warmup": wish.model.size_bytes < SMALL_MODEL_BYTES,
        "--embeddings": wish.embeddings,
        "--rerank": wish.rerank,
    }
    split = _split(wish)
    return (
        *("--model", wish.model.path),
        *("--alias", wish.model.id),
        *("--slots", str(wish.slots)),
        *("--ctx", str(wish.ctx_tokens)),
        *("--threads", str(_threads(wish, survey))),
        *("--gpu-layers", str(ALL_LAYERS if wish.on_gpu else 0)),
        *(("--tensor-split", split) if split else ()),
        *(switch for switch, on in switches.items() if on),
    )


def llama_server_flags(wish: EngineWish, survey: Survey) -> tuple[str, ...]:
    """Return the flags of a `llama-server`, but for host, port and key, which its guardian adds."""
    switches = {
        "--no-mmap": wish.on_gpu,
        "--no-cache-prompt": not wish.prompt_cache,
        "--no-warmup": wish.model.size_bytes < SMALL_MODEL_BYTES,
        "--embeddings": wish.embeddings,
        "--reranking": wish.rerank,
    }
    split = _split(wish)
    return (
        *("--model", wish.model.path),
        *("--alias", wish.model.id),
        *("--parallel", str(wish.slots)),
        # It divides the context by the slots.
        *("--ctx-size", str(wish.ctx_tokens * wish.slots)),
        "--no-context-shift",
        *("--threads", str(_threads(wish, survey))),
        *("--threads-http", str(2 * wish.slots + HTTP_THREADS_SPARE)),
        *("--n-gpu-layers", str(ALL_LAYERS if wish.on_gpu else 0)),
        *(("--tensor-split", split) if split else ()),
        *("--metrics", "--slots"),
        *(switch for switch, on in switches.items() if on),
    )


def _threads(wish: EngineWish, survey: Survey) -> int:
    return wish.threads or max(1, survey.cpu_cores // 2)


def _split(wish: EngineWish) -> str:
    return ",".join(f"{share:g}" for share in wish.tensor_split) if wish.on_gpu else ""


def _preflight(wish: EngineWish) -> None:
    path = Path(wish.model.path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise PreflightError(
            f"model {wish.model.id!r}: {path} cannot be read: {error.strerror}"
        ) from error
    if magic != b"GGUF":
        raise PreflightError(
            f"model {wish.model.id!r}: {path} is not a GGUF file; llama.cpp loads nothing else"
        )


def _no_gpu_engine(wish: EngineWish, survey: Survey) -> str:
    server = (
        f"llama-server at {survey.llama_server} sees no GPU"
        if survey.llama_server
        else "no llama-server on the PATH (mode binary)"
    )
    wheel = (
        f"xllamacpp {survey.wheel_version} sees no GPU (the wheel of the public index is CPU-only; "
        "install a CUDA wheel from an index of your choice)"
        if survey.wheel_version
        else f"xllamacpp is not usable ({survey.wheel_trouble})"
    )
    container = (
        f"container by {survey.container_runtime} is not provided by this version"
        if survey.container_runtime
        else "no container runtime (podman or docker) on the PATH"
    )
    source = (
        f"nvcc is at {survey.nvcc}: mode source would build one from a tree that you name"
        if survey.nvcc
        else "no nvcc for a build from source"
    )
    return (
        f"pool {wish.pool_id!r}: no llama.cpp for the GPU: {server}; {wheel}; {container}; {source}"
    )
