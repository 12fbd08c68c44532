"""What a plan needs to be there first: an environment, a built server, an image."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from engine_provisioner.build import BuildPlan, build, plan_build, survey_tools
from engine_provisioner.choosing import choose_mode, container_runtime, prefers_server_on_path
from engine_provisioner.containers import require_image
from engine_provisioner.environments import (
    EnvironmentPlan,
    make_environment,
    plan_environment,
)
from engine_provisioner.survey import Survey, survey_wheel
from engine_provisioner.wish import LLAMACPP, EngineMode, EngineWish


async def prepare(wish: EngineWish, survey: Survey, cache_dir: Path) -> tuple[EngineWish, Survey]:
    """Make or check what the engine needs; returns wish and facts with what has come of it.

    What was made before is used as it is. Raises an `EngineError` with the reason.
    """
    while True:
        wish, survey, missing = await preview(wish, survey, cache_dir)
        match missing:
            case None:
                return wish, survey
            case EnvironmentPlan():
                await make_environment(missing)
            case BuildPlan():
                await build(missing)


async def preview(
    wish: EngineWish, survey: Survey, cache_dir: Path
) -> tuple[EngineWish, Survey, EnvironmentPlan | BuildPlan | None]:
    """Return what would have to be made next, None when all is there; makes nothing."""
    if wish.python is None and (environment := environment_of(wish, survey, cache_dir)):
        if not environment.made.exists():
            return wish, survey, environment
        wish = replace(wish, python=environment.python)
        if wish.engine == LLAMACPP:
            survey = await survey_wheel(survey, environment.python)
    match choose_mode(wish, survey):
        case EngineMode.SOURCE if wish.executable is None and wish.tree is not None:
            plan = await build_of(wish.tree, cache_dir, on_gpu=wish.on_gpu)
            if not plan.built:
                return wish, survey, plan
            wish = replace(wish, executable=plan.executable)
        case EngineMode.CONTAINER if wish.image and (runtime := container_runtime(wish, survey)):
            await require_image(runtime, wish.image)
    return wish, survey, None


def environment_of(wish: EngineWish, survey: Survey, cache_dir: Path) -> EnvironmentPlan | None:
    """Return the environment that a wish asks for, None where it takes what is installed here."""
    named = wish.version or wish.index
    if wish.mode is not EngineMode.PACKAGE or not named or prefers_server_on_path(wish, survey):
        return None
    return plan_environment(
        wish.engine, cache_dir, uv=survey.uv, version=wish.version, index=wish.index
    )


async def build_of(tree: Path, cache_dir: Path, *, on_gpu: bool) -> BuildPlan:
    """Return the build of a tree; reads the whole of it."""
    tools = await survey_tools()
    jobs = max(1, len(os.sched_getaffinity(0)) // 2)
    return await asyncio.to_thread(
        plan_build, tree, cache_dir, tools=tools, on_gpu=on_gpu, jobs=jobs
    )
