"""Real engines: started, killed, hung, broken, adopted."""

from engine_provisioner import (
    EngineSupervisor,
)


def supervised(plan, folder, probe, watch, **more):
    return EngineSupervisor.running(
        plan, folder, probe=probe, on_change=watch, limits=QUICK, **more
    )
