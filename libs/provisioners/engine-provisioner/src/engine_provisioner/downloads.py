"""Mode `binary` from a URL: fetched once, and only what the checksum promised is ever run."""

import asyncio
import hashlib
import os
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from engine_provisioner.build import TARGET
from engine_provisioner.errors import PreflightError

DOWNLOAD_TIMEOUT_S = 3_600.0
STALL_S = 60.0
CHUNK_BYTES = 1 << 20
_ARCHIVES = (".tar.gz", ".tgz", ".tar.xz", ".zip")


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """One file to fetch, ready to be fetched; its checksum decides where it is kept."""

    url: str
    sha256: str
    folder: Path

    @property
    def done(self) -> Path:
        """The mark of one that was verified and unpacked; it names the executable."""
        return self.folder / "fetched"

    @property
    def executable(self) -> Path | None:
        """The `llama-server`, None while it is not here."""
        try:
            return self.folder / self.done.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def __str__(self) -> str:
        state = "fetched" if self.executable else "not fetched yet"
        return f"{self.folder} ({state}) from {self.url}, which must have SHA-256 {self.sha256}"


def plan_download(url: str, sha256: str, cache_dir: Path) -> DownloadPlan:
    """Return the plan."""
    digest = sha256.lower().removeprefix("sha256:")
    return DownloadPlan(url, digest, cache_dir / f"llama-server-{digest[:16]}")


async def fetch(plan: DownloadPlan) -> Path:
    """Fetch, verify and unpack, unless that was done before; raises `PreflightError`."""
    if plan.executable:
        return plan.executable
    draft = plan.folder.with_suffix(f".{os.getpid()}.tmp")
    await asyncio.to_thread(_make_anew, draft)
    try:
        file = draft / Path(urlsplit(plan.url).path).name
        found = await _download(plan.url, file)
        if found != plan.sha256:
            raise PreflightError(
                f"{plan.url} has SHA-256 {found}, and {plan.sha256} is configured; nothing of it "
                "was kept"
            )
        await asyncio.to_thread(_unpack, plan, draft, file)
    except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise PreflightError(f"{plan.url} cannot be fetched: {reason}") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    assert plan.executable is not None  # what was unpacked is there
    return plan.executable


async def _download(url: str, file: Path) -> str:
    digest = hashlib.sha256()
    timeout = aiohttp.ClientTimeout(total=DOWNLOAD_TIMEOUT_S, sock_read=STALL_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(url) as answer,
    ):
        with file.open("wb") as out:
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                digest.update(chunk)
                await asyncio.to_thread(out.write, chunk)
    return digest.hexdigest()


def _make_anew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _unpack(plan: DownloadPlan, draft: Path, file: Path) -> None:
    if file.name.endswith(_ARCHIVES):
        _extract(file, draft)
        file.unlink()
        found = sorted(path for path in draft.rglob(TARGET) if path.is_file())
        if not found:
            raise ValueError(f"there is no {TARGET} in the archive")
        executable = found[0]
    else:
        executable = file
    executable.chmod(0o755)
    (draft / plan.done.name).write_text(str(executable.relative_to(draft)), encoding="utf-8")
    shutil.rmtree(plan.folder, ignore_errors=True)
    draft.rename(plan.folder)


def _extract(file: Path, folder: Path) -> None:
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)  # noqa: S202  it drops `..` and leading slashes itself
        return
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise ValueError(f"the archive cannot be unpacked: {error}") from error
