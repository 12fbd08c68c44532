"""The pools of this machine as one service."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self

from engine_provisioner import (
    EngineProbe,
    EngineSupervisor,
    Limits,
    MayAsk,
    OnCheck,
    anybody,
    stop_orphans,
    unheard,
    unsealed,
)
from gpu_discovery import DevicePolicy, GpuInventory
from handoff_watcher import WatchSettings
from local_pool_manager.bringup import Planner
from local_pool_manager.changeover import ChangeLimits
from local_pool_manager.conductor import Conductor
from local_pool_manager.config import PoolConfig, ProvisioningOwner
from local_pool_manager.courses import conduct
from local_pool_manager.delegated import Delegate
from local_pool_manager.door import Door
from local_pool_manager.drains import Drains, load_drained
from local_pool_manager.engines import Engines
from local_pool_manager.errors import PoolDraining, PoolNotOurs
from local_pool_manager.gpuwatch import watch_gpus
from local_pool_manager.leases import Lease, OnRevoked
from local_pool_manager.ports import Loadable, Look, ModelSource, OnHandoff, OnLoad, StageAhead
from local_pool_manager.records import MeasuredMemory, ModelChoices
from local_pool_manager.registry import Registry
from local_pool_manager.room import Room, ram_available_bytes
from local_pool_manager.surroundings import Surroundings
from local_pool_manager.swap import Demand
from local_pool_manager.types import ChangeOutcome, ReplicaEndpoint
from pool_registry_types import HandoffPayload, PoolSnapshot

SWAP_MAX_WAIT_MS = 30_000
"""The starvation bound between models is that between priorities."""
BUILD_DIR = "builds"
"""Below the runtime folder: what mode `source` built."""


def monotonic_ms() -> int:
    """Return the clock of residencies and deadlines."""
    return time.monotonic_ns() // 1_000_000


class LocalPoolManager:
    """Owns pools, replicas and leases of this machine; engines run under its supervisors.

    Made by `running`. All methods belong to the event loop that runs it.
    """

    def __init__(
        self,
        *,
        private_dir: Path,
        build_dir: Path,
        owner: ProvisioningOwner,
        models: ModelSource,
        gpus: Callable[[], GpuInventory],
        device_policy: DevicePolicy,
        may_ask: MayAsk,
        change_limits: ChangeLimits,
    ) -> None:
        self._owner = owner
        self._gpus = gpus
        self._seen = MeasuredMemory(private_dir)
        self._planner = Planner(
            models,
            gpus,
            device_policy,
            seen=self._seen,
            build_dir=build_dir,
            may_ask=may_ask,
        )
        self._choices = ModelChoices(private_dir)
        self._change_limits = change_limits
        self._conductors: dict[str, Conductor | Delegate] = {}
        self._registry = Registry(owner)
        self._drains = Drains(self._registry, private_dir)
        self._engines: Engines

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        configs: Sequence[PoolConfig],
        *,
        runtime_dir: Path,
        models: ModelSource,
        gpus: Callable[[], GpuInventory],
        device_policy: DevicePolicy = DevicePolicy.GPU,
        keep_engines: bool = False,
        auto_delete_handoff: bool = False,
        watch_interval_ms: int = 1000,
        probe_timeout_s: float = 3.0,
        limits: Limits | None = None,
        change_limits: ChangeLimits | None = None,
        swap_max_wait_ms: int = SWAP_MAX_WAIT_MS,
        loadable: Loadable = dict,
        stage: StageAhead = lambda _model_id: None,
        look: Look | None = None,
        ram_available: Callable[[], int] = ram_available_bytes,
        owner: ProvisioningOwner = ProvisioningOwner.MANAGER,
        private_dir: Path | None = None,
        build_dir: Path | None = None,
        seal: Callable[[HandoffPayload], HandoffPayload] = unsealed,
        may_ask: MayAsk = anybody,
        on_handoff: OnHandoff | None = None,
        on_check: OnCheck = unheard,
        on_load: OnLoad = lambda _path: None,
    ) -> AsyncIterator[Self]:
        """Serve the pools; on exit stop the engines that were started here, unless kept.

        It returns at once: pools become ready later, each on its own. Engines that an earlier
        run left are adopted when they are as configured, and stopped when they are not.
        `loadable` names the models that swapping pools may load, and `loadable_changed` has to be
        called when it gives others; `stage` is asked to bring the next one into RAM. `look` takes
        a fresh look at the GPUs, without which the last one is waited for. `on_load` is told the
        file that an engine is about to read.

        Two managers may share a runtime folder: each starts the engines of pools whose
        `provisioning.owner` it is, and keeps what concerns nobody else in a `private_dir` of its
        own. `seal` has the last word on what its handoffs say. `may_ask` decides which URLs
        engines are fetched from.
        """
        private_dir = private_dir or runtime_dir
        self = cls(
            private_dir=private_dir,
            build_dir=build_dir or private_dir / BUILD_DIR,
            owner=owner,
            may_ask=may_ask,
            models=models,
            gpus=gpus,
            device_policy=device_policy,
            change_limits=change_limits or ChangeLimits(),
        )
        await asyncio.to_thread(runtime_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
        drained = load_drained(private_dir)
        for config in configs:
            self._registry.add_pool(
                config,
                model_ref=self._choices.of(config.id, config.model_ref),
                draining=config.id in drained,
            )
        await stop_orphans(runtime_dir, keep=self._registry.supervised(), private_dir=private_dir)
        async with AsyncExitStack() as stack:
            probe = await stack.enter_async_context(
                EngineProbe.running(timeout_s=probe_timeout_s, on_check=on_check)
            )
            door = await stack.enter_async_context(
                Door.running(
                    self._registry,
                    probe,
                    WatchSettings(runtime_dir, watch_interval_ms, auto_delete_handoff),
                    strangers=owner is ProvisioningOwner.MANAGER,
                    on_handoff=on_handoff,
                )
            )
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self._engines = Engines(
                self._registry,
                tasks,
                supervise=partial(
                    EngineSupervisor.running,
                    runtime_dir=runtime_dir,
                    probe=probe,
                    limits=limits or Limits(),
                    keep_on_exit=keep_engines,
                    private_dir=private_dir,
                    seal=seal,
                ),
                expect=door.expect,
                on_load=on_load,
                keep_engines=keep_engines,
            )
            around = Surroundings(
                runtime_dir=runtime_dir,
                private_dir=private_dir,
                planner=self._planner,
                choices=self._choices,
                room=Room(gpus, look or self._last_look, ram_available),
                enlist=self._engines.enlist,
                our_pids=self._engines.pids,
                touch=self._registry.touch,
                loadable=loadable,
                stage=stage,
                limits=self._change_limits,
                max_wait_ms=swap_max_wait_ms,
                now_ms=monotonic_ms,
            )
            watch = watch_gpus(gpus, self._registry, self._conductors, self._seen)
            loops = [tasks.create_task(watch, name="gpu-watch")]
            for pool in self._registry.pools.values():
                if conductor := conduct(pool, around, owner):
                    self._conductors[pool.config.id] = conductor
                    stack.callback(self._registry.subscribe(conductor.hear))
                    name = f"pool {pool.config.id}"
                    loops.append(tasks.create_task(conductor.run(), name=name))
            try:
                yield self
            finally:
                self._drains.close()
                for task in loops:
                    task.cancel()
                self._engines.let_go()

    # What others see

    def snapshots(self) -> tuple[PoolSnapshot, ...]:
        """Return how every pool is, in the order of the configuration."""
        return tuple(self.snapshot(pool_id) for pool_id in self._registry.pools)

    def snapshot(self, pool_id: str) -> PoolSnapshot:
        """Return how one pool is; raises `PoolNotFound`."""
        return self._registry.pool(pool_id).snapshot(self._gpus())

    def subscribe(
        self, callback: Callable[[str], None], *, leases: bool = True
    ) -> Callable[[], None]:
        """Call back with the pool's id soon after each change; the result ends that.

        Changes that come in one turn of the event loop are told once. Without `leases` the lease of
        a slot and its end are no change, unless the pool drains: there are thousands a second.
        """
        return self._registry.subscribe(callback, leases=leases)

    def endpoint(self, pool_id: str, replica_id: str) -> ReplicaEndpoint:
        """Return where the ready replica is; raises `PoolNotFound` or `ReplicaNotReady`."""
        endpoint = self._registry.replica(pool_id, replica_id).endpoint()
        if endpoint is None:
            raise self._registry.not_ready(pool_id, replica_id)
        return endpoint

    def engine_pids(self) -> frozenset[int]:
        """Return the processes of our engines: what else holds memory of a GPU is foreign."""
        return self._engines.pids()

    def model_refs(self) -> Mapping[str, tuple[str, ...]]:
        """Return by pool the models that it serves, loads or changes to: none may be deleted."""
        return {
            pool_id: conductor.model_refs
            for pool_id, conductor in self._conductors.items()
            if conductor.model_refs
        }

    # Leases and drains

    def acquire(
        self,
        pool_id: str,
        replica_id: str,
        task_key: str,
        *,
        on_revoked: OnRevoked | None = None,
        generation: int | None = None,
    ) -> Lease:
        """Lease a slot; raises `PoolNotFound`, `PoolDraining`, `ReplicaNotReady`, `ReplicaBusy`.

        With `generation` only of that engine: a caller that chose the replica for its model is
        refused when another one has taken over since. At the deadline of a drain `on_revoked` is
        called with the reason; the holder ends its task and releases the lease as always.
        """
        replica, pool = self._registry.replica(pool_id, replica_id), self._registry.pools[pool_id]
        if pool.draining:
            raise PoolDraining(f"pool {pool_id!r} is draining and takes no new task")
        if pool.closing:
            raise PoolDraining(f"pool {pool_id!r} is about to load another model")
        table = replica.leases
        if table is None or pool.fault is not None:
            raise self._registry.not_ready(pool_id, replica_id)
        if generation is not None and generation != replica.generation:
            raise PoolDraining(f"{pool_id}/{replica_id} has another engine since")
        lease = table.acquire(task_key, on_revoked)
        self._registry.leased(pool_id)
        return lease

    def release(self, lease: Lease) -> None:
        """Give the slot back, exactly once; raises `LeaseError` when it was given back before."""
        self._registry.replica(lease.pool_id, lease.replica_id).release(lease)
        self._registry.pools[lease.pool_id].last_used_ms = monotonic_ms()
        self._registry.leased(lease.pool_id)

    def drain(self, pool_id: str, deadline_ms: int) -> None:
        """Refuse new leases, also after a restart; at the deadline revoke those that still run."""
        self._drains.begin(pool_id, deadline_ms)

    def resume(self, pool_id: str) -> None:
        """End a drain."""
        self._drains.end(pool_id)

    def preload(self, pool_id: str) -> None:
        """Start the engines of a pool that waits for its first wish (`preload = false`)."""
        self._registry.pool(pool_id).wanted.set()

    # The model of a pool

    def rest(self, pool_id: str, *, drain_ms: int) -> asyncio.Future[ChangeOutcome]:
        """Stop the engines of a pool until a task or `preload` asks for them again.

        Leases that still run after `drain_ms` are revoked. Raises `PoolNotFound`, `PoolNotOurs`,
        or `PoolBusy` while a change is under way.
        """
        return self._conductor(pool_id).rest(drain_ms)

    def wake(self, pool_id: str) -> None:
        """End a rest if tasks have come to wait for the pool; raises `PoolNotFound`."""
        self._conductor(pool_id).wake()

    def builds(self, pool_id: str) -> frozenset[Path]:
        """Return the folders that were provided for the engines of a pool since this start."""
        self._registry.pool(pool_id)
        return self._planner.builds(pool_id)

    def note(self, pool_id: str, trouble: str) -> None:
        """Show as the pool's last error what was not done as it was asked for."""
        self._registry.pool(pool_id).trouble = trouble
        self._registry.touch(pool_id)

    def reload(
        self, pool_id: str, new_model_ref: str, *, drain_ms: int | None = None
    ) -> asyncio.Future[ChangeOutcome]:
        """Change the model: either the new one serves in the end, or the old one still does.

        A drain and a change go together: a drained pool may take another model, and stays drained.

        Returns at once; raises `PoolNotFound`, `PoolNotOurs`, or `PoolBusy` while a change is
        under way. Streams of the old model finish within `drain_ms`, after which their leases are
        revoked. The result may be ignored: the pool's `last_error` says it too.
        """
        limits = self._change_limits
        return self._conductor(pool_id).order(
            new_model_ref, limits.drain_ms if drain_ms is None else drain_ms
        )

    def demand(
        self,
        pool_id: str,
        wishes: Mapping[str, Demand],
        *,
        source: str = "",
        valid_ms: int | None = None,
        max_wait_ms: int | None = None,
    ) -> None:
        """Tell which models tasks wait for, by id, in place of what this source told before.

        A pool with `swap_models` swaps by it; one that waits for its first wish starts. Unless it
        is told again within `valid_ms` it is forgotten. `max_wait_ms` bounds the turn of a model
        while others are waited for, in place of the manager's own bound. Raises `PoolNotFound` or
        `PoolNotOurs`.
        """
        self._conductor(pool_id).tell_demand(
            wishes, source=source, valid_ms=valid_ms, max_wait_ms=max_wait_ms
        )

    def waiting(self, model_id: str) -> int:
        """Return how many tasks wait for a model, as far as swapping pools were told."""
        return max((each.waiting(model_id) for each in self._conductors.values()), default=0)

    def loadable_changed(self) -> None:
        """Have every swapping pool look again at what it may load; snapshots show it at once."""
        for pool_id, conductor in self._conductors.items():
            if isinstance(conductor, Conductor):
                conductor.look_at_offer()
            self._registry.touch(pool_id)

    async def announce(self, pool_id: str) -> None:
        """Write the handoffs of a pool again, as `seal` says something new; raises OSError."""
        crew = self._registry.pool(pool_id).crew
        if crew is not None:
            await crew.announce()

    def _conductor(self, pool_id: str) -> Conductor | Delegate:
        self._registry.pool(pool_id)
        try:
            return self._conductors[pool_id]
        except KeyError:
            raise PoolNotOurs(
                f"the engines of pool {pool_id!r} are started by somebody else, who also chooses "
                "their model"
            ) from None

    async def _last_look(self) -> GpuInventory:
        return self._gpus()
