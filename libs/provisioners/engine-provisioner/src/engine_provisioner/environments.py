"""Mode `package`: a virtual environment for each engine and version, made once by uv."""

import hashlib
import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from engine_provisioner.errors import PreflightError
from engine_provisioner.steps import run_steps
from engine_provisioner.wish import LLAMACPP, VLLM

INSTALL_TIMEOUT_S = 3_600.0
PACKAGES = {LLAMACPP: "xllamacpp", VLLM: "vllm"}


@dataclass(frozen=True, slots=True)
class EnvironmentPlan:
    """One environment, ready to be made; equal inputs give equal plans."""

    folder: Path
    create: tuple[str, ...]
    install: tuple[str, ...]
    log: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def made(self) -> Path:
        """The mark of one that is complete."""
        return self.folder / "made"

    def __str__(self) -> str:
        state = "made" if self.made.exists() else "not made yet"
        return f"{self.folder} ({state}) by: " + " && ".join(
            map(shlex.join, (self.create, self.install))
        )


def plan_environment(
    engine: str, cache_dir: Path, *, uv: str | None, version: str | None, index: str | None = None
) -> EnvironmentPlan:
    """Return the plan; raises `PreflightError` when there is no uv."""
    if uv is None:
        raise PreflightError(
            f"an environment for {PACKAGES[engine]} needs uv, which is not on the PATH; install it "
            "with: pip install uv"
        )
    requirement = PACKAGES[engine] + (f"=={version}" if version else "")
    inputs = (requirement, index or "", platform.python_version(), platform.machine())
    digest = hashlib.sha256("\n".join(inputs).encode()).hexdigest()
    folder = cache_dir / f"{engine}-{version or 'latest'}-{digest[:12]}"
    python = folder / "bin" / "python"
    return EnvironmentPlan(
        folder=folder,
        # What an installation that was broken off has left is not gone on with.
        create=(uv, "venv", "--clear", "--python", sys.executable, str(folder)),
        install=(
            *(uv, "pip", "install", "--python", str(python)),
            # The first index that has a package is the only one that it is taken from.
            *(("--index", index) if index else ()),
            requirement,
        ),
        log=cache_dir / f"{folder.name}.log",
    )


async def make_environment(plan: EnvironmentPlan) -> Path:
    """Make it unless that was done before; returns its interpreter, raises `PreflightError`."""
    if not plan.made.exists():
        await run_steps(
            (plan.create, plan.install), log=plan.log, timeout_s=INSTALL_TIMEOUT_S, done=plan.made
        )
    return plan.python
