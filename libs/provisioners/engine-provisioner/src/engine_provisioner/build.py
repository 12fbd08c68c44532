"""Mode `source`: a llama-server built with cmake from a tree, once for each set of inputs."""

import asyncio
import hashlib
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine_provisioner.errors import PreflightError
from engine_provisioner.steps import run_steps

BUILD_TIMEOUT_S = 7_200.0
TOOL_TIMEOUT_S = 20.0
TARGET = "llama-server"
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    # One file that needs no other of the build.
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
)
_NO_SOURCES = {".git", "build", "docs", "media", "models"}
"""Folders at the top of the tree that no build reads."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs that a build needs; None is not there."""

    cmake: str | None = None
    compiler: str | None = None
    nvcc: str | None = None
    versions: str = ""
    """What they say of themselves: another compiler makes another engine."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """One build, ready to be run; equal inputs give equal plans."""

    tree: Path
    folder: Path
    configure: tuple[str, ...]
    build: tuple[str, ...]
    log: Path

    @property
    def executable(self) -> Path:
        """Where the server is when it has been built."""
        return self.folder / "bin" / TARGET

    @property
    def done(self) -> Path:
        """The mark of a build that came to its end."""
        return self.folder / "built"

    @property
    def built(self) -> bool:
        """Whether the server is there."""
        return self.done.exists() and self.executable.exists()

    def __str__(self) -> str:
        state = "built" if self.built else "not built yet"
        return f"{self.executable} ({state}) by: " + " && ".join(
            map(shlex.join, (self.configure, self.build))
        )


async def survey_tools() -> Tools:
    """Look for the tools on the PATH."""
    cmake, nvcc = shutil.which("cmake"), shutil.which("nvcc")
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    found = [tool for tool in (cmake, compiler, nvcc) if tool]
    versions = await asyncio.gather(*(_version(tool) for tool in found))
    return Tools(cmake, compiler, nvcc, "\n".join(versions))


def plan_build(
    tree: Path, cache_dir: Path, *, tools: Tools, on_gpu: bool = False, jobs: int = 1
) -> BuildPlan:
    """Return the plan; raises `PreflightError` that names what is missing. Reads the whole tree."""
    if not (tree / "CMakeLists.txt").is_file():
        raise PreflightError(
            f"{tree} is no source tree of llama.cpp (there is no CMakeLists.txt); name one "
            "(provisioning.source), such as a clone of its repository"
        )
    for name, found in (
        ("cmake", tools.cmake),
        ("a C++ compiler", tools.compiler),
        *((("nvcc of the CUDA toolkit", tools.nvcc),) if on_gpu else ()),
    ):
        if found is None:
            raise PreflightError(
                f"a build of {tree} needs {name}, which is not on the PATH; install it, or use "
                "mode 'binary' with a llama-server that was built elsewhere"
            )
    options = (*OPTIONS, f"-DGGML_CUDA={'ON' if on_gpu else 'OFF'}")
    digest = hashlib.sha256("\n".join((tools.versions, *options)).encode())
    for path in sorted(_sources(tree)):
        digest.update(f"\n{path.relative_to(tree)}\n".encode())
        digest.update(path.read_bytes())
    folder = cache_dir / f"llama.cpp-{digest.hexdigest()[:16]}"
    cmake = tools.cmake or "cmake"
    return BuildPlan(
        tree=tree,
        folder=folder,
        configure=(cmake, "-S", str(tree), "-B", str(folder), *options),
        build=(cmake, "--build", str(folder), "--target", TARGET, "--parallel", str(jobs)),
        log=cache_dir / f"{folder.name}.log",
    )


async def build(plan: BuildPlan) -> Path:
    """Build unless that was done before; raises `PreflightError` with the end of the log.

    A build that was broken off goes on where it stopped.
    """
    if plan.built:
        return plan.executable
    await asyncio.to_thread(plan.folder.mkdir, parents=True, exist_ok=True)
    await run_steps(
        (plan.configure, plan.build), log=plan.log, timeout_s=BUILD_TIMEOUT_S, done=plan.done
    )
    return plan.executable


async def _version(tool: str) -> str:
    child = await asyncio.create_subprocess_exec(
        tool, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(TOOL_TIMEOUT_S):
            out, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        return tool
    return out.decode(errors="replace")


def _sources(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        if Path(folder) == tree:
            folders[:] = [name for name in folders if name not in _NO_SOURCES]
        yield from (Path(folder, name) for name in files if not Path(folder, name).is_symlink())
