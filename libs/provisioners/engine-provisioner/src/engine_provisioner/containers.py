"""Container images and what is left of containers, as podman and docker know them."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

from engine_provisioner.errors import PreflightError
from engine_provisioner.wish import EngineWish

IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}")
COMMAND_TIMEOUT_S = 30.0


def is_pinned(image: str) -> bool:
    """Return whether a reference names one image for ever: by digest, whatever its tag."""
    return IMAGE.fullmatch(image) is not None


def device_options(runtime: str, wish: EngineWish) -> tuple[str, ...]:
    """Return how the GPUs of a pool are handed to its container."""
    if not wish.on_gpu:
        return ()
    if Path(runtime).name == "docker":
        chosen = f'"device={",".join(wish.devices)}"' if wish.devices else "all"
        return (f"--gpus={chosen}",)
    # By the Container Device Interface, which `nvidia-ctk cdi generate` describes to podman.
    return tuple(f"--device=nvidia.com/gpu={device}" for device in wish.devices or ("all",))


async def require_image(runtime: str, image: str) -> None:
    """Raise `PreflightError` unless the image is on this machine; it is never pulled here."""
    code = await _run(runtime, "image", "inspect", image)
    if code != 0:
        raise PreflightError(
            f"the image {image} is not on this machine; bring it with: "
            f"{Path(runtime).name} pull {image}"
        )


async def remove_container(container: object) -> None:
    """Remove the container that a status file tells of, if its guardian has left one."""
    match container:
        case [str(runtime), str(name)]:
            await _run(runtime, "kill", name)
            await _run(runtime, "rm", "--force", name)


async def _run(*command: str) -> int | None:
    """Return the exit code, None where the program does not run or does not end."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            return await child.wait()
    except TimeoutError:
        return None
    finally:
        with suppress(ProcessLookupError):
            if child.returncode is None:
                child.kill()
