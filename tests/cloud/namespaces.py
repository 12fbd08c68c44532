"""Machines as network namespaces: each with an address and a loopback interface of its own."""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from .cables import Cable, open_tap
from .of_home import Engine

NETWORK = "198.18.77"
"""Of the range that is set apart for tests between networks."""
CALL_S = 20.0
_CLONE_NEWNET = 0x40000000

_T = TypeVar("_T")


def run(*command: str) -> str:
    """Run a command of the system."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=CALL_S)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Network:
    """A switch in a namespace of its own, to which machines and this process are plugged in.

    Whatever it makes lies in its namespaces, and goes with them.
    """

    def __init__(self) -> None:
        self._prefix = f"llo{os.getpid()}"
        self._hub = f"{self._prefix}-hub"
        self._machines: list[Machine] = []
        self._far: dict[str, dict[str, Any]] = {}
        self._cables = ExitStack()

    def __enter__(self) -> Self:
        run("ip", "netns", "add", self._hub)
        self._inside("ip", "link", "add", "switch", "type", "bridge")
        self._inside("ip", "link", "set", "switch", "up")
        here = f"{self._prefix}t"
        self._plug(here, "tester")
        run("ip", "addr", "add", f"{NETWORK}.254/24", "dev", here)
        run("ip", "link", "set", here, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._cables.close()
        for machine in self._machines:
            run("ip", "netns", "delete", machine.namespace)
        run("ip", "-n", self._hub, "link", "delete", "tester")
        run("ip", "netns", "delete", self._hub)

    def machine(self, name: str) -> "Machine":
        """Plug in one more."""
        number = len(self._machines) + 1
        machine = Machine(
            f"{self._prefix}-{name}", f"{NETWORK}.{number}", f"port{number}", self._hub
        )
        run("ip", "netns", "add", machine.namespace)
        self._machines.append(machine)
        if name in self._far:
            machine.cable = self._lay(machine, **self._far[name])
        else:
            near = f"{self._prefix}n"
            self._plug(near, machine.port)
            run("ip", "link", "set", near, "netns", machine.namespace, "name", "eth0")
        for command in (
            f"addr add {machine.address}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
        ):
            run("ip", "-n", machine.namespace, *command.split())
        return machine

    def control(self) -> "Way":
        """A machine for a control plane."""
        return Way(self.machine("control"), 8080)

    def node(self, name: str, control: "Way") -> tuple["Way", "Way"]:
        """A machine for a node: its way to the control plane, and the way to it."""
        machine = self.machine(name)
        return Way(machine, 9200, url=control.url), Way(machine, 9200)

    def put_far_away(self, name: str, *, delay_s: tuple[float, float], loss: float) -> None:
        """Have the machine of this name, once it is plugged in, stand at the end of a bad cable."""
        self._far[name] = {"delay_s": delay_s, "loss": loss}

    def _lay(self, machine: "Machine", *, delay_s: tuple[float, float], loss: float) -> Cable:
        ends = within(self._hub, open_tap, machine.port), machine.within(open_tap, "eth0")
        self._inside(*f"ip link set {machine.port} master switch up".split())
        return self._cables.enter_context(Cable(ends, delay_s=delay_s, loss=loss))

    def _plug(self, near: str, port: str) -> None:
        run(*f"ip link add {near} type veth peer name {port} netns {self._hub}".split())
        self._inside(*f"ip link set {port} master switch up".split())

    def _inside(self, *command: str) -> None:
        run("ip", "netns", "exec", self._hub, *command)


@dataclass
class Machine:
    """One namespace, and its cable."""

    namespace: str
    address: str
    port: str
    hub: str
    cable: Cable | None = None
    """If it is a long one."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes before a command to have it run there."""
        return ("ip", "netns", "exec", self.namespace)

    def cut(self) -> None:
        """Unplug it: it lives, and nothing comes or goes."""
        run("ip", "-n", self.hub, "link", "set", self.port, "down")

    def heal(self) -> None:
        """Plug it in again."""
        run("ip", "-n", self.hub, "link", "set", self.port, "up")

    def filter(self, rule: str) -> None:
        """Set the one rule of its firewall for what comes in; an empty one takes it away."""
        chain = f"chain incoming {{\ntype filter hook input priority 0\n{rule}\n}}"
        run(*self.prefix, "nft", f"flush ruleset\ntable ip faults {{\n{chain}\n}}")

    def within(self, look: Callable[..., _T], *arguments: Any) -> _T:
        """Do something as a process there would; sockets belong to where they were opened."""
        return within(self.namespace, look, *arguments)


def within(namespace: str, look: Callable[..., _T], *arguments: Any) -> _T:
    """Do something in a namespace, in a thread of its own."""
    found: list[_T] = []
    troubles: list[BaseException] = []

    def visit() -> None:
        try:
            enter(namespace)
            found.append(look(*arguments))
        except BaseException as trouble:
            troubles.append(trouble)

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    if troubles:
        raise troubles[0]
    return found[0]


def enter(namespace: str) -> None:
    """Have this thread, and nothing else of the process, live in a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        assert libc.setns(handle, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(handle)


class Way:
    """Where a daemon on a machine is reached; it stands where a `Wire` stands elsewhere."""

    def __init__(self, machine: Machine, port: int, *, url: str | None = None) -> None:
        self.machine = machine
        self.address = self.bind = f"{machine.address}:{port}"
        self.url = url or f"http://{self.address}"
        self.prefix = machine.prefix

    def lead_to(self, address: str) -> None:
        """Do nothing: the daemon is there itself."""
        assert address == self.address

    def cut(self) -> None:
        """Unplug the machine."""
        self.machine.cut()

    def heal(self) -> None:
        """Plug the machine in."""
        self.machine.heal()

    def engine(self, told: dict[str, Any]) -> "FarEngine":
        """An engine of this machine."""
        found = FarEngine(told["pid"], told["url"], told["engine_key"], told["pool_id"])
        object.__setattr__(found, "machine", self.machine)
        return found


class FarEngine(Engine):  # type: ignore[misc,valid-type]  # loaded from a file
    """An engine that nobody reaches but from its own machine."""

    machine: Machine

    def slots(self) -> list[dict[str, Any]]:
        """What the engine itself says of its slots."""
        return self.machine.within(super().slots)
