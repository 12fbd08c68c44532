"""Environments of their own for engines of the package index; one is really made."""

from importlib.metadata import version
from pathlib import Path

import pytest

from engine_provisioner import (
    EngineState,
    EngineSupervisor,
    EnvironmentPlan,
    PreflightError,
    Survey,
    plan_engine,
    plan_environment,
    prepare,
    preview,
)

UV = Survey(cpu_cores=2, uv="/usr/bin/uv")


def test_equal_inputs_share_an_environment_and_others_do_not(tmp_path):
    def folder(engine="llamacpp", **changes):
        values = {"uv": "uv", "version": "1.0", "index": None}
        return plan_environment(engine, tmp_path, **{**values, **changes}).folder

    assert folder() == folder()
    others = [
        folder(version="1.1"),
        folder(version=None),
        folder(index="https://x"),
        folder("vllm"),
    ]
    assert len({folder(), *others}) == 5


def test_a_plan_is_printed_whole_and_names_the_index_of_the_operator(tmp_path):
    plan = plan_environment("vllm", tmp_path, uv="uv", version="0.32.0", index="https://wheels/cu")
    assert str(plan).startswith(f"{plan.folder} (not made yet) by: uv venv --clear")
    assert str(plan).endswith("--index https://wheels/cu vllm==0.32.0")
    assert not plan.folder.exists()


def test_without_uv_the_refusal_says_how_to_get_it(tmp_path):
    with pytest.raises(PreflightError, match="pip install uv"):
        plan_environment("llamacpp", tmp_path, uv=None, version="1.0")


async def test_nothing_is_made_where_no_version_is_named_or_the_path_has_a_server_for_the_gpu(
    wish, tmp_path
):
    assert (await preview(wish(), UV, tmp_path))[2] is None
    server = Survey(cpu_cores=2, uv="uv", llama_server="/bin/llama-server", llama_server_gpus=True)
    on_gpu = wish(on_gpu=True, index="https://wheels/cu")
    assert (await preview(on_gpu, server, tmp_path))[2] is None
    pinned = wish(on_gpu=True, version="1.0")
    assert isinstance((await preview(pinned, server, tmp_path))[2], EnvironmentPlan)


async def test_a_version_that_the_index_does_not_have_is_told_with_the_log(wish, tmp_path, survey):
    with pytest.raises(PreflightError, match=r"xllamacpp==0\.0\.0.*the whole log is"):
        await prepare(wish(version="0.0.0"), survey, tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.timeout(300)
async def test_an_environment_is_made_once_and_its_engine_serves(
    wish, tmp_path, survey, probe, watch
):
    pinned = wish(version=version("xllamacpp"))
    ready, facts = await prepare(pinned, survey, tmp_path)
    assert ready.python is not None
    assert ready.python.is_relative_to(tmp_path)
    made = Path(ready.python.parents[1] / "made").stat().st_mtime_ns
    again, _ = await prepare(pinned, survey, tmp_path)
    assert Path(again.python.parents[1] / "made").stat().st_mtime_ns == made
    plan = plan_engine(ready, facts)
    assert plan.program[0] == str(ready.python)
    assert plan.engine_version == f"xllamacpp-{pinned.version}"
    async with EngineSupervisor.running(
        plan, tmp_path / "run", probe=probe, on_change=watch
    ) as supervisor:
        await watch.until(EngineState.READY)
        executable = Path(f"/proc/{supervisor.status.pid}/cmdline").read_bytes().split(b"\0")[0]
        assert executable.decode() == str(ready.python)
