"""Mode `source`, on a tree of which cmake makes an executable in a second."""

import asyncio

import pytest

from engine_provisioner import (
    EngineMode,
    PreflightError,
    Survey,
    Tools,
    build,
    plan_build,
    plan_engine,
    survey_tools,
)

CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(fake CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_executable(llama-server main.cpp)
"""


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(CMAKE)
    (folder / "main.cpp").write_text("int main() { return 7; }\n")
    return folder


async def test_a_tree_is_built_once_and_again_when_its_sources_change(tree, tmp_path, wish):
    tools = await survey_tools()
    if tools.cmake is None or tools.compiler is None:
        pytest.skip("no cmake or no compiler here")
    plan = plan_build(tree, tmp_path / "cache", tools=tools)
    assert plan == plan_build(tree, tmp_path / "cache", tools=tools)
    assert "not built yet" in str(plan)
    executable = await build(plan)
    child = await asyncio.create_subprocess_exec(executable)
    assert await child.wait() == 7
    built_ns = executable.stat().st_mtime_ns
    assert await build(plan) == executable
    assert executable.stat().st_mtime_ns == built_ns
    engine = plan_engine(wish(mode=EngineMode.SOURCE, executable=executable), Survey(cpu_cores=1))
    assert engine.mode is EngineMode.SOURCE

    (tree / "main.cpp").write_text("int main() { return 8 }\n")
    broken = plan_build(tree, tmp_path / "cache", tools=tools)
    assert broken.folder != plan.folder
    with pytest.raises(PreflightError, match="the whole log is"):
        await build(broken)
    assert "error" in broken.log.read_text()


def test_what_is_missing_is_named_before_anything_runs(tree, tmp_path):
    all_tools = Tools(cmake="/usr/bin/cmake", compiler="/usr/bin/c++")
    with pytest.raises(PreflightError, match=r"CMakeLists\.txt"):
        plan_build(tmp_path, tmp_path, tools=all_tools)
    with pytest.raises(PreflightError, match="needs cmake"):
        plan_build(tree, tmp_path, tools=Tools())
    with pytest.raises(PreflightError, match="nvcc"):
        plan_build(tree, tmp_path, tools=all_tools, on_gpu=True)
    plan = plan_build(tree, tmp_path, tools=Tools("/c", "/d", "/nvcc"), on_gpu=True)
    assert "-DGGML_CUDA=ON" in plan.configure
