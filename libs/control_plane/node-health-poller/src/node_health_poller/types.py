"""Whom to ask how often, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from node_types import NodeId
from pool_registry_types import PoolSnapshot
from service_discovery_types import RegisterRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSettings:
    """Which nodes are polled, and how."""

    urls: tuple[str, ...] = ()
    dns_name: str | None = None
    """A name with SRV records; each of them is a node."""
    dns_scheme: str = "https"
    dns_interval_ms: int = 30_000
    interval_ms: int = 5_000
    jitter_ratio: float = 0.1
    """The share of a pause by which it may be longer or shorter."""
    backoff_max_ms: int = 20_000
    """Pauses of a node that does not answer double up to this."""
    timeout_ms: int = 3_000
    """For one request, from the connection to the last byte."""
    concurrency: int = 64
    """How many nodes are asked at once."""
    stale_after_ms: int = 12_000
    absent_after_ms: int = 30_000


class Freshness(StrEnum):
    """How much a cached status is worth."""

    FRESH = "fresh"
    STALE = "stale"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class NodePolled:
    """A node has answered: what a registration and a heartbeat of it would say."""

    url: str
    node: RegisterRequest
    pools: tuple[PoolSnapshot, ...]
    took_ms: int = 0
    """From the question to the whole answer."""


@dataclass(frozen=True, slots=True)
class PollFailed:
    """A node has not answered, or nothing that can be read."""

    url: str
    reason: str
    node_id: NodeId | None
    """Who answered under this URL before."""
    failures: int
    """In a row."""


PollResult: TypeAlias = NodePolled | PollFailed


@dataclass(frozen=True, slots=True)
class CachedStatus:
    """The last that is known of a polled node."""

    url: str
    freshness: Freshness
    age_ms: int | None
    """Since the last answer; None: there was none."""
    last: NodePolled | None
    """None as well once it is so old that it says nothing any more."""
    reason: str | None
    """Why the last poll failed; None: it did not."""


def freshness(settings: PollSettings, age_ms: int | None) -> Freshness:
    """Tell what a status of this age is worth."""
    if age_ms is None or age_ms >= settings.absent_after_ms:
        return Freshness.ABSENT
    return Freshness.FRESH if age_ms < settings.stale_after_ms else Freshness.STALE


def pause_s(settings: PollSettings, failures: int, chance: float) -> float:
    """Return how long to wait before a node is asked again; `chance` from 0 to 1."""
    longest_ms = max(settings.backoff_max_ms, settings.interval_ms)
    wanted_ms: int = min(settings.interval_ms * 2 ** min(failures, 16), longest_ms)
    return wanted_ms * (1 + settings.jitter_ratio * (2 * chance - 1)) / 1000
