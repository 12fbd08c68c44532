"""Who decides what the engines of a pool do."""

from local_pool_manager.conductor import Conductor
from local_pool_manager.config import ProvisioningMode, ProvisioningOwner
from local_pool_manager.delegated import Delegate
from local_pool_manager.pool import Pool
from local_pool_manager.surroundings import Surroundings


def conduct(
    pool: Pool, around: Surroundings, owner: ProvisioningOwner
) -> Conductor | Delegate | None:
    """Return the one who does for a manager that is this owner; None: it only watches them."""
    provisioning = pool.config.provisioning
    if provisioning.mode is ProvisioningMode.EXTERNAL:
        return None
    return Conductor(pool, around) if provisioning.owner is owner else Delegate(pool, around)
