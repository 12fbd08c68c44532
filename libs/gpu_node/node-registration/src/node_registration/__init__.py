"""Keeps this node registered with every control plane, and speaks to them."""

from node_registration.http import HttpControlPlane
from node_registration.link import ControlPlaneLink, LinkState
from node_registration.messages import NodeMessages
from node_registration.ports import ControlPlaneClient
from node_registration.registration import NodeRegistration
from node_registration.types import (
    Failure,
    Forgotten,
    NodeDescription,
    NotRegistered,
    RefusalCode,
    Refused,
    Registered,
    RegistrationEvent,
    RegistrationSettings,
    Unreachable,
)

__all__ = [
    "ControlPlaneClient",
    "ControlPlaneLink",
    "Failure",
    "Forgotten",
    "HttpControlPlane",
    "LinkState",
    "NodeDescription",
    "NodeMessages",
    "NodeRegistration",
    "NotRegistered",
    "RefusalCode",
    "Refused",
    "Registered",
    "RegistrationEvent",
    "RegistrationSettings",
    "Unreachable",
]
