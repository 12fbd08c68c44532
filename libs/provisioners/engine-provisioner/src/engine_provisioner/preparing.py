"""What a plan needs to be there first: an environment, a built server, an image."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from engine_provisioner.build import BuildPlan, build, plan_build, survey_tools
from engine_provisioner.choosing import choose_mode, container_runtime, prefers_server_on_path
from engine_provisioner.containers import require_image
from engine_provisioner.downloads import DownloadPlan, fetch, plan_download
from engine_provisioner.environments import (
    EnvironmentPlan,
    make_environment,
    plan_environment,
)
from engine_provisioner.errors import PreflightError
from engine_provisioner.survey import Survey, survey_wheel
from engine_provisioner.wish import LLAMACPP, EngineMode, EngineWish

MayAsk: TypeAlias = Callable[[str], str | None]
"""Returns why a URL must not be asked, None when it may."""
OnMaking: TypeAlias = Callable[[str], None]
"""Told, in words, what is made now."""
PUBLIC_INDEX = "https://pypi.org"


def anybody(_url: str) -> None:
    """Let every URL be asked."""


def unheard_of(_what: str) -> None:
    """Tell nobody."""


async def prepare(
    wish: EngineWish,
    survey: Survey,
    cache_dir: Path,
    *,
    may_ask: MayAsk = anybody,
    on_making: OnMaking = unheard_of,
) -> tuple[EngineWish, Survey]:
    """Make or check what the engine needs; returns wish and facts with what has come of it.

    What was made before is used as it is; `on_making` is told of what is not, as it takes minutes.
    Raises an `EngineError` with the reason.
    """
    while True:
        wish, survey, missing = await preview(wish, survey, cache_dir)
        match missing:
            case None:
                return wish, survey
            case EnvironmentPlan():
                _check(may_ask, wish.index or PUBLIC_INDEX)
                on_making(f"its environment is installed; {missing.log} tells how far that is")
                await make_environment(missing)
            case DownloadPlan():
                _check(may_ask, missing.url)
                on_making(f"its engine is fetched from {missing.url}")
                await fetch(missing)
            case BuildPlan():
                on_making(f"its engine is built; {missing.log} tells how far that is")
                await build(missing)


async def preview(
    wish: EngineWish, survey: Survey, cache_dir: Path
) -> tuple[EngineWish, Survey, EnvironmentPlan | DownloadPlan | BuildPlan | None]:
    """Return what would have to be made next, None when all is there; makes nothing."""
    if wish.python is None and (environment := environment_of(wish, survey, cache_dir)):
        if not environment.made.exists():
            return wish, survey, environment
        wish = replace(wish, python=environment.python)
        if wish.engine == LLAMACPP:
            survey = await survey_wheel(survey, environment.python)
    if wish.executable is None and wish.url is not None and wish.executable_sha256 is not None:
        download = plan_download(wish.url, wish.executable_sha256, cache_dir)
        if download.executable is None:
            return wish, survey, download
        # The checksum is that of the archive where it was one.
        wish = replace(wish, executable=download.executable, executable_sha256=None)
    match choose_mode(wish, survey):
        case EngineMode.SOURCE if wish.executable is None and wish.tree is not None:
            plan = await build_of(wish.tree, cache_dir, on_gpu=wish.on_gpu)
            if not plan.built:
                return wish, survey, plan
            wish = replace(wish, executable=plan.executable)
        case EngineMode.CONTAINER if wish.image and (runtime := container_runtime(wish, survey)):
            await require_image(runtime, wish.image)
    return wish, survey, None


def _check(may_ask: MayAsk, url: str) -> None:
    if refusal := may_ask(url):
        raise PreflightError(f"{url} may not be asked: {refusal}")


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
