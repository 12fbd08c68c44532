"""How an engine would be provided: decided from facts, printable, before anything is started."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine_provisioner.choosing import choose_mode, container_runtime
from engine_provisioner.container_host import INSIDE_MODELS
from engine_provisioner.containers import device_options, is_pinned
from engine_provisioner.errors import (
    EngineNotAvailableError,
    ModeNotProvidedError,
    PreflightError,
)
from engine_provisioner.executable import executable_version
from engine_provisioner.flags import server_flags, wheel_flags
from engine_provisioner.survey import Survey
from engine_provisioner.wish import KEY_VARIABLES, LLAMACPP, VLLM, EngineMode, EngineWish
from pool_registry_types import HandoffPayload


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
    match choose_mode(wish, survey):
        case EngineMode.CONTAINER:
            return _plan_container(wish, survey)
        case EngineMode.BINARY | EngineMode.SOURCE as mode:
            return _plan_binary(wish, survey, mode)
        case EngineMode.PACKAGE if wish.engine == VLLM:
            return _plan_vllm(wish, survey)
        case EngineMode.PACKAGE:
            return _plan_wheel(wish, survey)


def _plan_wheel(wish: EngineWish, survey: Survey) -> EnginePlan:
    if survey.wheel_version is None:
        raise EngineNotAvailableError(
            f"pool {wish.pool_id!r}: the xllamacpp wheel is not usable ({survey.wheel_trouble}); "
            "install it with: pip install 'engine-provisioner[llamacpp]', or name its version "
            "(provisioning.version) for an environment of its own"
        )
    _preflight(wish)
    return _plan(
        wish,
        mode=EngineMode.PACKAGE,
        version=f"xllamacpp-{survey.wheel_version}",
        host="llamacpp_host.py",
        python=wish.python,
        flags=wheel_flags(wish, survey),
    )


def _plan_vllm(wish: EngineWish, survey: Survey) -> EnginePlan:
    if wish.python is None:
        raise PreflightError(
            f"pool {wish.pool_id!r}: vLLM comes in an environment of its own; name its version "
            "(provisioning.version)"
        )
    _preflight(wish)
    server = wish.python.with_name("vllm")
    return _plan(
        wish,
        mode=EngineMode.PACKAGE,
        version=f"vllm-in-{wish.python.parents[1].name}",
        host="llama_server_host.py",
        flags=(
            *("--key-variable", KEY_VARIABLES[VLLM]),
            *("--", str(server), "serve"),
            *server_flags(wish, survey, model_path=wish.model.path),
        ),
    )


def _plan_binary(wish: EngineWish, survey: Survey, mode: EngineMode) -> EnginePlan:
    if wish.engine != LLAMACPP:
        raise ModeNotProvidedError(
            f"pool {wish.pool_id!r}: mode {mode.value!r} provides {LLAMACPP!r} only; "
            f"{wish.engine!r} comes by 'package' or 'container'"
        )
    executable = wish.executable
    if mode is EngineMode.SOURCE and executable is None:
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
        mode=mode,
        version=version,
        host="llama_server_host.py",
        flags=(
            *(("--on-gpu",) if wish.on_gpu else ()),
            "--",
            str(executable),
            *server_flags(wish, survey, model_path=wish.model.path),
        ),
    )


def _plan_container(wish: EngineWish, survey: Survey) -> EnginePlan:
    runtime = container_runtime(wish, survey)
    if runtime is None:
        raise PreflightError(
            f"pool {wish.pool_id!r}: mode 'container' needs {wish.runtime or 'podman or docker'} "
            "on the PATH; install it"
        )
    if wish.image is None or not is_pinned(wish.image):
        raise PreflightError(
            f"pool {wish.pool_id!r}: mode 'container' needs an image by its digest "
            f'(provisioning.image = "NAME@sha256:…"), not {wish.image!r}: a tag names another '
            "image tomorrow"
        )
    _preflight(wish)
    path = Path(wish.model.path)
    digest = wish.image.rpartition(":")[2]
    return _plan(
        wish,
        mode=EngineMode.CONTAINER,
        version=f"container-{digest[:12]}",
        host="container_host.py",
        flags=(
            *("--key-variable", KEY_VARIABLES[wish.engine]),
            *("--runtime", runtime, "--image", wish.image, "--models", str(path.parent)),
            *(f"--run-option={option}" for option in device_options(runtime, wish)),
            "--",
            *server_flags(wish, survey, model_path=f"{INSIDE_MODELS}/{path.name}"),
        ),
    )


def _plan(
    wish: EngineWish,
    *,
    mode: EngineMode,
    version: str,
    host: str,
    flags: tuple[str, ...],
    python: Path | None = None,
) -> EnginePlan:
    devices = ",".join(wish.devices)
    return EnginePlan(
        wish=wish,
        mode=mode,
        engine_version=version,
        # As a file and with -P: nothing of this package is imported, nor found by its folder.
        program=(str(python or sys.executable), "-P", str(Path(__file__).with_name(host))),
        flags=flags,
        environment={"CUDA_VISIBLE_DEVICES": devices if wish.on_gpu else ""}
        if devices or not wish.on_gpu
        else {},
        device_mask=(devices or "all") if wish.on_gpu else "cpu",
    )


def _preflight(wish: EngineWish) -> None:
    path = Path(wish.model.path)
    if wish.engine != LLAMACPP:
        if not path.is_dir():
            raise PreflightError(
                f"model {wish.model.id!r}: {path} is no folder; {wish.engine} loads a folder as "
                "`llorch pull hf:ORG/REPO` brings it"
            )
        return
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
