"""What tasks wait for, told to the pools of this process."""

from collections.abc import Mapping

from admission_coordinator import ModelWaits
from local_pool_manager import Demand, LocalPoolManager
from orchestrator_core import PoolRef
from orchestratord.home.wanted import WantedModels


class LocalDemand:
    """Fulfils `admission_coordinator.DemandSink` where the pools are ours."""

    def __init__(self, pools: LocalPoolManager, wanted: WantedModels) -> None:
        self._pools = pools
        self._wanted = wanted

    def tell_demand(self, pool: PoolRef, demand: Mapping[str, ModelWaits]) -> None:
        """See `DemandSink.tell_demand`."""
        self._wanted.demanded(demand.keys())
        self._pools.demand(
            pool.pool_id,
            {model: Demand(waits.waiting, waits.oldest_ms) for model, waits in demand.items()},
        )
