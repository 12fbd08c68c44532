"""What an earlier run left of an engine, and what becomes of it."""

from dataclasses import dataclass
from pathlib import Path

from engine_provisioner import machine
from engine_provisioner.handoff import own_process, read_handoff, remove_handoff
from engine_provisioner.machine import Stimulus
from engine_provisioner.plan import EnginePlan
from engine_provisioner.process import EngineProcess, identify
from pool_registry_types import HandoffPayload


@dataclass(frozen=True, slots=True)
class Earlier:
    """The engine that was found, if any, and the first stimulus of its successor's life."""

    stimulus: Stimulus
    process: EngineProcess | None = None
    payload: HandoffPayload | None = None
    """Its handoff, where it is as planned."""


def find_earlier(plan: EnginePlan, runtime_dir: Path, private_dir: Path) -> Earlier:
    """Look for a living engine of ours; removes the handoff of one that is gone."""
    wish = plan.wish
    names = (wish.pool_id, wish.replica_id)
    payload = read_handoff(runtime_dir, *names)
    identity = own_process(private_dir, *names, wish.lane)
    process = EngineProcess.attach(identity) if identity else None
    if process is None:
        # Whatever handoff an engine of ours left, it is gone.
        if payload is not None and not trusted_and_alive(payload):
            remove_handoff(runtime_dir, *names)
        return Earlier(machine.StartAsked())
    if payload is None or payload.pid != process.pid:
        reason = "an engine of an earlier run was found without handoff"
        return Earlier(machine.ReplaceAsked(reason), process)
    if difference := plan.differs_from(payload):
        reason = f"an engine of an earlier run had {difference}"
        return Earlier(machine.ReplaceAsked(reason), process)
    return Earlier(machine.AdoptAsked(), process, payload)


def trusted_and_alive(payload: HandoffPayload) -> bool:
    """Return whether the very process of a handoff runs, here."""
    identity = identify(payload.pid)
    return identity is not None and (payload.boot_id, payload.pid_ns, payload.pid_start_ticks) == (
        identity.boot_id,
        identity.pid_ns,
        identity.start_ticks,
    )
