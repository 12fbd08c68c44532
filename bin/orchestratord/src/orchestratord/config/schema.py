"""The rules of orchestratord about its sources, for the loader that all programs share."""

from collections.abc import Iterable
from typing import TypeGuard

from local_pool_manager import PoolConfig
from orchestratord.config.model import Settings
from program_config import Given, Layer, Schema

NOT_SERVED_YET = frozenset(
    {
        *("ORCHD_POOL_MANAGERS", "POOL_MANAGERD_URLS", "POOL_MANAGERD_URL"),
        *("ORCHD_POOL_MANAGERS_DNS", "ORCHD_STATE_URL"),
        *("ORCHD_API_KEYS", "ORCHD_API_KEYS_FILE", "ORCHD_OIDC_ISSUER", "ORCHD_OIDC_AUDIENCE"),
        *("ORCHD_TLS_CERT", "ORCHD_TLS_KEY", "ORCHD_TLS_CA"),
        *("ORCHD_TRANSCRIPTS", "ORCHD_TRANSCRIPT_PROMPTS"),
    }
)


def _with_demo(layer: Layer, problems: list[str]) -> Layer:
    """Let `demo` bring the CPU policy with the rank of the source that it stands in."""
    demo = layer.get("demo")
    if not _is_on(demo):
        return layer
    policy = layer.get("device_policy")
    if policy is not None and policy.value != "cpu":
        problems.append(
            f"device_policy ({policy.origin}): demo runs on the CPU; leave one of them out"
        )
    return {**layer, "device_policy": Given("cpu", f"implied by demo ({demo.origin})")}


def _contradictions(given: Layer) -> Iterable[str]:
    """Find settings that are each right and cannot stand together."""
    model = given.get("model")
    if model is not None and _is_on(given.get("demo")):
        yield f"model ({model.origin}): demo serves its own model; leave either of them out"
    if model is not None and "pools" in given:
        yield f"model ({model.origin}): with configured pools, name the model in its pool instead"


def _is_on(item: Given | None) -> TypeGuard[Given]:
    return item is not None and item.value is True


SCHEMA = Schema(
    program="orchestratord",
    settings=Settings,
    file_only=frozenset({"pools", "api_tokens"}),
    secret=frozenset({"api_tokens"}),
    items={"pools": PoolConfig},
    not_served=NOT_SERVED_YET,
    complete=_with_demo,
    contradictions=_contradictions,
)
