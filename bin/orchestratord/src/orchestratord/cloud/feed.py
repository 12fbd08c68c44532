"""What the registry learns of nodes, made known to placement: adapters first, then the report.

Registration, heartbeat, callback and poll all come through here, and by one path.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import UUID

from adapter_api import AdapterError, EngineDescription, WorkerAdapter
from adapter_host import AdapterHost
from llamacpp_http import LlamaCppAdapter
from multi_node_placement import ClusterView
from narration_core import get_logger
from openai_http import OpenAiAdapter
from orchestrator_core import ReplicaKey
from orchestratord.access import Access
from orchestratord.breakers import host_key
from orchestratord.cloud.directory import ClusterDirectory
from orchestratord.cloud.loads import are_same_but_for_load
from orchestratord.rounds import Rounds
from pool_registry_types import PoolSnapshot
from service_registry import (
    NodeLease,
    NodeOffline,
    NodeRemoved,
    NodeReported,
    RegistryEvent,
    SafeModeEntered,
    SafeModeLeft,
)
from vllm_http import VllmAdapter
from worker_http import ClientLimits

_DESCRIBE_TIMEOUT_S = 5.0
_DESCRIBED_AT_ONCE = 32


class Way(NamedTuple):
    """How an engine process is reached; when any of it changes, so must its adapter."""

    incarnation: UUID
    generation: int
    url: str
    token: str | None
    tls: ssl.SSLContext | None


MakeAdapter = Callable[[Way], WorkerAdapter]

_LIMITS = ClientLimits(max_idle=128, idle_ms=30_000)
"""Unlike an engine, a relay spends no thread on an idle connection, and it keeps it for 75 s."""

ADAPTERS: Mapping[str, MakeAdapter] = {
    "llamacpp": lambda way: LlamaCppAdapter(
        way.url, api_key=way.token, ssl_context=way.tls, limits=_LIMITS
    ),
    "openai": lambda way: OpenAiAdapter(
        way.url, api_key=way.token, ssl_context=way.tls, limits=_LIMITS
    ),
    "vllm": lambda way: VllmAdapter(
        way.url, api_key=way.token, ssl_context=way.tls, limits=_LIMITS
    ),
}
"""Engine kind → how its adapter is made."""


class NodeFeed:
    """Follows the registry: `on_event` takes note, and `run` does what has to be awaited."""

    def __init__(
        self,
        *,
        cluster: ClusterView,
        host: AdapterHost,
        directory: ClusterDirectory,
        access: Access,
        changed: Callable[[], None],
        adapters: Mapping[str, MakeAdapter] = ADAPTERS,
    ) -> None:
        self._cluster = cluster
        self._host = host
        self._directory = directory
        self._access = access
        self._changed = changed
        self._adapters = adapters
        self._newest: dict[str, NodeLease] = {}
        self._news: set[str] = set()
        self._gone: set[str] = set()
        self._wake = asyncio.Event()
        self._rounds = Rounds(self._wake.set)
        self._applied: dict[str, NodeLease] = {}
        """The last report of each node of which nothing is left to do."""
        self._shown = self._credentials()
        self._bound: dict[str, dict[ReplicaKey, Way]] = {}
        self._described: dict[ReplicaKey, EngineDescription] = {}
        self._describing: set[ReplicaKey] = set()
        self._at_once = asyncio.Semaphore(_DESCRIBED_AT_ONCE)
        self._log = get_logger(component="node_feed")

    @property
    def descriptions(self) -> dict[ReplicaKey, EngineDescription]:
        """What each bound engine says of itself."""
        return self._described

    def on_event(self, event: RegistryEvent) -> None:
        """Take note; what must not wait is done at once."""
        if type(event) is NodeReported and self._tells_load_only(event.node):
            return
        match event:
            case SafeModeEntered() | SafeModeLeft():
                self._tell(event)
                return
            case NodeRemoved(node):
                self._gone.add(node.node_id)
                self._newest.pop(node.node_id, None)
                self._news.discard(node.node_id)
                self._applied.pop(node.node_id, None)
                self._cluster.set_online(node.node_id, False)
                self._directory.forget(node.node_id)
            case _:
                node = event.node
                self._newest[node.node_id] = node
                self._note(node.node_id)
                if not (node.online and node.reachable and node.reported):
                    self._cluster.set_online(node.node_id, False)
        if isinstance(event, NodeOffline):
            self._log.warning(
                "node_lost",
                node_id=node.node_id,
                state=node.state.value,
                human=f"Node {node.node_id} is silent: no new task goes there.",
            )
        self._wake.set()

    def look_at_credentials(self) -> None:
        """Have all engines be reached anew, if there is another token or certificate by now."""
        shown = self._credentials()
        if shown != self._shown:
            self._shown = shown
            for node_id in self._newest:
                self._note(node_id)
            self._wake.set()

    def _credentials(self) -> tuple[str | None, ssl.SSLContext]:
        return self._access.token(), self._access.client_context()

    def _note(self, node_id: str) -> None:
        self._news.add(node_id)
        self._applied.pop(node_id, None)

    def _tells_load_only(self, node: NodeLease) -> bool:
        """Take a report of the same engines, which most are, be they busier or not; else False."""
        node_id = node.registration.node_id
        before = self._applied.get(node_id)
        if before is node:
            return self._cluster.report_again(node_id)
        if before is None or node.drain_asked or not _stands_as(before, node):
            return False
        taken = self._cluster.report_load(node_id, node.pools)
        if taken:
            self._newest[node_id] = self._applied[node_id] = node
        return taken

    async def caught_up(self) -> None:
        """Return once placement knows all that has been noted so far; at once after the end."""
        await self._rounds.next()

    async def run(self) -> None:
        """Apply what has been noted, for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    with self._rounds.one():
                        await self._catch_up(group)
        finally:
            self._rounds.end()

    async def _catch_up(self, group: asyncio.TaskGroup) -> None:
        gone, self._gone = self._gone, set()
        news, self._news = self._news, set()
        for node_id in gone:
            await self._forget(node_id)
        for node_id in news:
            if (node := self._newest.get(node_id)) is not None:
                await self._apply(node, group)
        self._changed()

    async def _apply(self, node: NodeLease, group: asyncio.TaskGroup) -> None:
        if not node.reported:
            self._cluster.set_online(node.node_id, False)
            return
        await self._bind_new(node, group)
        bound = self._bound[node.node_id]
        workloads: dict[str, set[str]] = {}
        for key in bound:
            if key in self._described:
                workloads.setdefault(key.pool_id, set()).update(self._described[key].workloads)
        self._cluster.apply_report(
            node.node_id,
            [_as_asked(pool, node) for pool in node.pools],
            labels=node.labels,
            loadable={pool.pool_id: pool.loadable_models for pool in node.pools},
            workloads=workloads,
            online=node.online and node.reachable,
        )
        self._directory.heard(node)
        if bound.keys() <= self._described.keys() and self._newest.get(node.node_id) is node:
            self._applied[node.node_id] = node

    async def _bind_new(self, node: NodeLease, group: asyncio.TaskGroup) -> None:
        address = node.address.rstrip("/")
        tls = self._access.client_context() if address.startswith("https:") else None
        token = self._access.token()
        bound = self._bound.setdefault(node.node_id, {})
        present: set[ReplicaKey] = set()
        for pool in node.pools:
            for replica in pool.replicas:
                key = ReplicaKey(node.node_id, pool.pool_id, replica.replica_id)
                present.add(key)
                if not replica.health.ready:
                    continue
                url = f"{address}/v2/pools/{key.pool_id}/replicas/{key.replica_id}/engine"
                way = Way(node.incarnation, replica.generation, url, token, tls)
                if bound.get(key) != way:
                    await self._bind(key, pool.engine, way)
                if key in bound and key not in self._described and key not in self._describing:
                    self._describing.add(key)
                    group.create_task(self._describe(key), name="describe engine")
        for key in bound.keys() - present:
            await self._unbind(key)

    async def _bind(self, key: ReplicaKey, engine: str, way: Way) -> None:
        make = self._adapters.get(engine)
        if make is None:
            self._log.error("engine_unknown", pool_id=str(key.pool), engine=engine)
            return
        await self._unbind(key)
        await self._host.bind(str(key.pool), key.replica_id, make(way), generation=way.generation)
        self._bound[key.node_id][key] = way

    async def _unbind(self, key: ReplicaKey) -> None:
        """Take an adapter away; what runs on it goes on."""
        if self._bound[key.node_id].pop(key, None) is not None:
            self._described.pop(key, None)
            await self._host.unbind(*host_key(key))

    async def _forget(self, node_id: str) -> None:
        for key in tuple(self._bound.get(node_id, ())):
            await self._unbind(key)
        self._bound.pop(node_id, None)
        self._applied.pop(node_id, None)
        self._cluster.remove_node(node_id)
        self._directory.forget(node_id)

    async def _describe(self, key: ReplicaKey) -> None:
        """Ask an engine what it can do; until it has told, everything is tried on it."""
        try:
            adapter = self._host.get(*host_key(key))
            if adapter is None:
                return
            async with self._at_once, asyncio.timeout(_DESCRIBE_TIMEOUT_S):
                description = await adapter.describe()
            if self._host.get(*host_key(key)) is adapter:
                self._described[key] = description
                self._note(key.node_id)
                self._wake.set()
        except (AdapterError, TimeoutError) as error:
            # Its node's next report brings us here again.
            self._log.warning("engine_silent", pool_id=str(key.pool), error=str(error))
        finally:
            self._describing.discard(key)

    def _tell(self, event: SafeModeEntered | SafeModeLeft) -> None:
        if isinstance(event, SafeModeEntered):
            self._log.error(
                "safe_mode",
                nodes=len(event.suspected),
                human="Most nodes are silent at once: the network here may be the cause. Nothing "
                "is placed on them, and nothing of them is given up.",
            )
        else:
            self._log.warning("safe_mode_left", nodes_lost=len(event.lost))


def _stands_as(before: NodeLease, now: NodeLease) -> bool:
    """Whether nothing is new of a node but that it was heard, and how busy its pools are."""
    return (
        before.registration is now.registration
        and before.models == now.models
        and before.labels == now.labels
        and before.drain_asked == now.drain_asked
        and before.state is now.state
        and before.reachable == now.reachable
        and are_same_but_for_load(before.pools, now.pools)
    )


def _as_asked(pool: PoolSnapshot, node: NodeLease) -> PoolSnapshot:
    """Return a pool as draining from the moment in which its node was asked to drain."""
    return pool.model_copy(update={"draining": True}) if node.drain_asked else pool
