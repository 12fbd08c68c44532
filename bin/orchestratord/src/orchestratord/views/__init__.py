"""What clients are shown of catalog, machine and pools."""

from orchestratord.views.machine import API_VERSION, LocalMachine, capabilities, pool_readiness
from orchestratord.views.naming import check_own
from orchestratord.views.pools import LocalPools

__all__ = [
    "API_VERSION",
    "LocalMachine",
    "LocalPools",
    "capabilities",
    "check_own",
    "pool_readiness",
]
