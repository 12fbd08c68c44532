"""An image that holds the real llama.cpp: this interpreter, the wheel, and the libraries of both.

Made of this machine's own files in seconds, since the tests may pull from nowhere.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xllamacpp

from engine_provisioner import llamacpp_host

NAME = "llama-orch-test"
SITE = Path("/engine")
_LEFT_OUT = {
    *("__pycache__", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages"),
    *("dist-packages", "test", "tests", "tkinter", "turtledemo"),
}
_UNWANTED = ("_tkinter", "_test", "_crypt")
COMMAND_S = 60


@dataclass(frozen=True)
class Podman:
    """A podman with a storage of its own, which is deleted with its folder."""

    folder: Path
    environ: dict[str, str]

    @classmethod
    def in_folder(cls, folder: Path) -> "Podman":
        """Configure one that works without overlays, systemd and crun."""
        containers, storage = folder / "containers.conf", folder / "storage.conf"
        containers.write_text(
            '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n'
            '[network]\nnetwork_backend = "netavark"\n'
            f'network_config_dir = "{folder}/networks"\n'
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
        )
        storage.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
        )
        environ = {
            "CONTAINERS_CONF": str(containers),
            "CONTAINERS_STORAGE_CONF": str(storage),
        }
        return cls(folder, environ)

    def __call__(self, *arguments: str) -> str:
        """Run a command; raises CalledProcessError."""
        done = subprocess.run(
            ["podman", *arguments],
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, f"podman {arguments}: {done.stderr}"
        return done.stdout

    def containers(self) -> list[str]:
        """The names of all containers, running or not."""
        return self("ps", "--all", "--format", "{{.Names}}").split()

    def image(self) -> str:
        """Make the image, and return its reference by digest."""
        python = Path(sys.executable).resolve()
        archive = self.folder / "image.tar"
        with tarfile.open(archive, "w", dereference=True) as tar:
            for path in sorted({python, *_standard_library(), *_libraries(python)}):
                tar.add(path, str(path).lstrip("/"), recursive=False)
            for path in _files(Path(xllamacpp.__file__).parent):
                tar.add(path, f"{SITE}/xllamacpp/{path.name}".lstrip("/"))
            for path in (Path(__file__).with_name("llama_server.py"), Path(llamacpp_host.__file__)):
                tar.add(path, f"{SITE}/{path.name}".lstrip("/"))
        entry = json.dumps([str(python), f"{SITE}/llama_server.py"])
        self("import", "--change", f"ENTRYPOINT {entry}", str(archive), NAME)
        archive.unlink()
        digest = self("image", "inspect", NAME, "--format", "{{.Digest}}").strip()
        return f"localhost/{NAME}@{digest}"

    def close(self) -> None:
        """Remove everything; raises AssertionError when a container was left behind."""
        left = self.containers()
        for name in left:
            self("rm", "--force", "--time", "0", name)
        self("rmi", "--all", "--force")
        shutil.rmtree(self.folder)
        assert not left, f"containers {left} were left behind"


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name not in _LEFT_OUT:
            yield from _files(path)
        elif path.is_file() and not path.name.startswith(_UNWANTED):
            yield path


def _standard_library() -> Iterator[Path]:
    yield from _files(Path(sysconfig.get_path("stdlib")))
    yield from _files(Path(sysconfig.get_path("platstdlib")))


def _libraries(python: Path) -> set[Path]:
    """Find what the dynamic linker would load for the interpreter and the wheel."""
    modules = [path for path in _standard_library() if ".so" in path.suffixes]
    wheel = _files(Path(xllamacpp.__file__).parent)
    binaries = [python, *modules, *(path for path in wheel if ".so" in path.suffixes)]
    told = subprocess.run(
        ["ldd", *map(str, binaries)],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    ).stdout
    words = (word for line in told.splitlines() for word in line.split())
    return {Path(word) for word in words if word.startswith("/") and not word.endswith(":")}
