"""Mode `source`: a llama-server built with cmake from a tree, once for each set of inputs."""

import asyncio
import hashlib
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine_provisioner.errors import PreflightError

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
_LOG_LINES = 5


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

    def __str__(self) -> str:
        state = "built" if self.executable.exists() else "not built yet"
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
    done = plan.folder / "built"
    if done.exists() and plan.executable.exists():
        return plan.executable
    await asyncio.to_thread(plan.folder.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(plan.log.write_bytes, b"")
    for command in (plan.configure, plan.build):
        code = await _logged(command, plan.log)
        if code != 0:
            lines = plan.log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise PreflightError(
                f"{shlex.join(command)} ended with {code}: {' / '.join(lines[-_LOG_LINES:])}; "
                f"the whole log is {plan.log}"
            )
    done.touch()
    return plan.executable


async def _logged(command: tuple[str, ...], log: Path) -> int | None:
    with log.open("ab") as file:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        async with asyncio.timeout(BUILD_TIMEOUT_S):
            return await child.wait()
    except TimeoutError:
        return None
    finally:
        with suppress(ProcessLookupError):
            if child.returncode is None:
                child.terminate()


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
