"""Plans, starts and supervises engine processes and writes their handoff files."""

from engine_provisioner.build import BuildPlan, Tools, build, plan_build, survey_tools
from engine_provisioner.containers import is_pinned
from engine_provisioner.desired import desired_path, read_desired, write_desired
from engine_provisioner.environments import EnvironmentPlan, plan_environment
from engine_provisioner.errors import (
    EngineError,
    EngineNotAvailableError,
    ModeNotProvidedError,
    PreflightError,
)
from engine_provisioner.handoff import (
    engine_pids,
    handoff_path,
    lane_in_service,
    read_handoff,
    remove_handoff,
    write_handoff,
)
from engine_provisioner.machine import EngineState, Limits
from engine_provisioner.orphans import stop_orphans
from engine_provisioner.plan import EnginePlan, plan_engine
from engine_provisioner.preparing import (
    MayAsk,
    OnMaking,
    anybody,
    prepare,
    preview,
    unheard_of,
)
from engine_provisioner.probe import EngineProbe, OnCheck, unheard
from engine_provisioner.process import EngineProcess, ProcessIdentity, identify
from engine_provisioner.supervisor import EngineStatus, EngineSupervisor, unsealed
from engine_provisioner.survey import Survey, survey_machine
from engine_provisioner.wish import EngineMode, EngineWish

__all__ = [
    "BuildPlan",
    "EngineError",
    "EngineMode",
    "EngineNotAvailableError",
    "EnginePlan",
    "EngineProbe",
    "EngineProcess",
    "EngineState",
    "EngineStatus",
    "EngineSupervisor",
    "EngineWish",
    "EnvironmentPlan",
    "Limits",
    "MayAsk",
    "ModeNotProvidedError",
    "OnCheck",
    "OnMaking",
    "PreflightError",
    "ProcessIdentity",
    "Survey",
    "Tools",
    "anybody",
    "build",
    "desired_path",
    "engine_pids",
    "handoff_path",
    "identify",
    "is_pinned",
    "lane_in_service",
    "plan_build",
    "plan_engine",
    "plan_environment",
    "prepare",
    "preview",
    "read_desired",
    "read_handoff",
    "remove_handoff",
    "stop_orphans",
    "survey_machine",
    "survey_tools",
    "unheard",
    "unheard_of",
    "unsealed",
    "write_desired",
    "write_handoff",
]
