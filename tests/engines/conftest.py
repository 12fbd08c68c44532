"""Engines that a module shares."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .installed import EngineProcess, named
from .sglang_server import sglang_running
from .vllm_server import vllm_running

MAKE_MODEL = Path(__file__).with_name("make_model.py")


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """The interpreter of an environment that has vLLM."""
    return named("LLORCH_TEST_VLLM_PYTHON", "interpreter with vLLM")


@pytest.fixture(scope="session")
def sglang_python() -> str:
    """The interpreter of an environment that has SGLang."""
    return named("LLORCH_TEST_SGLANG_PYTHON", "interpreter with SGLang")


def made_by(python: str, folder: Path) -> Path:
    """A model that an engine of this interpreter can load."""
    subprocess.run([python, str(MAKE_MODEL), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def vllm(vllm_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One vLLM for a module; what a test does to it must leave it whole."""
    folder = tmp_path_factory.mktemp("vllm")
    with vllm_running(vllm_python, made_by(vllm_python, folder / "model"), folder) as engine:
        yield engine


@pytest.fixture(scope="module")
def sglang(sglang_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One SGLang for a module."""
    folder = tmp_path_factory.mktemp("sglang")
    with sglang_running(sglang_python, made_by(sglang_python, folder / "model"), folder) as engine:
        yield engine
