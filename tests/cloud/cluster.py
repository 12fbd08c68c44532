"""A cluster on one machine: a control plane, nodes, and the wires between them."""

import contextlib
import json
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .namespaces import Network, Way
from .of_home import Engine, Pool, until
from .processes import START_S, Program, processes_of
from .wires import Wire, Wires

TOKEN = "a-service-token-of-enough-characters"
CLIENT_KEY = "a-client-key-of-enough-characters-too"
NODE_TIMEOUT_MS = 4500
"""Silence after which a node is offline; the nodes are told to be heard three times as often."""

ENVIRON = {
    "LLORCH_PROFILE": "cloud",
    "LLORCH_INSECURE_PLAINTEXT": "true",
    "LLORCH_API_TOKEN": TOKEN,
}


def _toml(table: Mapping[str, object]) -> str:
    """Write a table whose tables come last."""
    plain = {name: value for name, value in table.items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in plain.items()]
    tables = (f"[{name}]\n{_toml(table[name])}" for name in table if name not in plain)
    return "".join([*lines, *tables])


class ControlPlane(Program):
    """orchestratord in the profile cloud, with no credential but these two."""

    def __init__(self, folder: Path, wire: Wire | Way, **settings: object) -> None:
        environ = {"LLORCH_HOME": str(folder / "data"), "ORCHD_API_KEYS": f"tester:{CLIENT_KEY}"}
        super().__init__(folder, "orchestratord", ENVIRON | environ, wire.prefix)
        self.wire = wire
        """Where nodes reach it, whatever port it listens on."""
        self.settings = {"node_timeout_ms": NODE_TIMEOUT_MS, **settings}

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://{self.address}"

    def start(self) -> "ControlPlane":
        """Start it and wait until it listens."""
        config = self.folder / "orchestratord.toml"
        config.write_text(_toml(self.settings))
        self.spawn("--config", str(config), "--bind-addr", self.wire.bind)
        self.wire.lead_to(self.address)
        return self


class Node(Program):
    """pool-managerd with its engines; what it says and what it is told have a wire each."""

    def __init__(
        self,
        folder: Path,
        pools: Iterable[Pool],
        *,
        out: Wire | Way,
        into: Wire | Way,
        **environ: str,
    ) -> None:
        self.id = folder.name
        self.pools = tuple(pools)
        self.out, self.into = out, into
        own = {
            "LLORCH_HOME": str(folder / "data"),
            "POOL_MANAGERD_NODE_ID": self.id,
            "POOL_MANAGERD_ORCHESTRATORD_URL": out.url,
            "POOL_MANAGERD_ADVERTISE_URL": into.url,
            "POOL_MANAGERD_DRAIN_DEADLINE_MS": "60000",
        }
        super().__init__(folder, "pool_managerd", {**ENVIRON, **own, **environ}, into.prefix)

    def start(self) -> "Node":
        """Start it and wait until it listens; its engines come when they come."""
        config = self.folder / "pools.toml"
        tables = "\n".join(f"[[pools]]\n{_toml(pool.table)}" for pool in self.pools)
        config.write_text(f'device_policy = "cpu"\n{tables}')
        self.spawn("--config", str(config), "--bind-addr", self.into.bind)
        self.into.lead_to(self.address)
        return self

    def engine(self, pool_id: str) -> Engine:
        """The engine of a pool."""
        return self.into.engine(self.handoff(pool_id))

    def handoff(self, pool_id: str) -> dict[str, Any]:
        """The handoff file of a pool's engine."""
        path = self.folder / "data" / "engines" / f"{pool_id}-r0.json"

        def look() -> dict[str, Any] | None:
            return json.loads(path.read_bytes()) if path.exists() else None

        return until(look, f"an engine of {pool_id} on {self.id}", within_s=START_S)

    def engines(self) -> list[Engine]:
        """All engines."""
        return [self.engine(str(pool.table["id"])) for pool in self.pools]

    def partition(self) -> None:
        """Take it off the network: it lives, and nothing comes or goes."""
        self.out.cut()
        self.into.cut()

    def heal(self) -> None:
        """Put it back."""
        self.out.heal()
        self.into.heal()


@dataclass
class Cluster:
    """Everything that ends together."""

    folder: Path
    lines: Wires | Network
    control: ControlPlane
    nodes: dict[str, Node]

    @classmethod
    def at(cls, folder: Path, lines: Wires | Network, **settings: object) -> "Cluster":
        """Lay out a cluster without nodes; nothing is started."""
        (folder / "control").mkdir(parents=True)
        return cls(folder, lines, ControlPlane(folder / "control", lines.control(), **settings), {})

    def node(self, name: str, *pools: Pool, **environ: str) -> Node:
        """Lay out a node; it is not started."""
        folder = self.folder / name
        folder.mkdir()
        out, into = self.lines.node(name, self.control.wire)
        node = Node(folder, pools, out=out, into=into, **environ)
        self.nodes[name] = node
        return node

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what runs, in order; raises AssertionError when something had to be killed."""
        for node in self.nodes.values():
            node.heal()
            if node.running:
                node.tell(signal.SIGTERM)
                node.tell(signal.SIGTERM)
        codes = {node.id: node.wait() for node in self.nodes.values() if node.running}
        if self.control.running:
            codes["control"] = self.control.stop()
        left = processes_of(self.folder)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"processes {left} were left behind"
        assert not any(codes.values()), f"exit codes {codes}"
