"""The rules of orchestratord about its sources, for the loader that all programs share."""

from collections.abc import Iterable
from typing import TypeGuard

from local_pool_manager import PoolConfig
from orchestratord.config.model import Settings
from program_config import Given, Layer, Schema

NOT_SERVED_YET = frozenset(
    {
        *("ORCHD_STATE_URL", "ORCHD_OIDC_ISSUER", "ORCHD_OIDC_AUDIENCE"),
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
    for name in ("api_keys", "api_token"):
        if name in given and f"{name}_file" in given:
            yield (
                f"{name} ({given[name].origin}) and {name}_file "
                f"({given[f'{name}_file'].origin}): keep one of them"
            )
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if one in given and other not in given:
            yield f"{one} ({given[one].origin}): needs {other} as well"
    for name, other in (
        ("session_cost_budget", "price_per_1k_tokens"),
        ("transcript_prompts", "transcripts"),
    ):
        if name in given and other not in given:
            yield f"{name} ({given[name].origin}): needs {other} as well"
    if _is_on(given.get("demo")) and _wants_nodes(given):
        yield f"demo ({given['demo'].origin}): is for the profile home, without pool_managers"


def _wants_nodes(given: Layer) -> bool:
    profile = given.get("profile")
    return "pool_managers" in given or (profile is not None and profile.value == "cloud")


def _is_on(item: Given | None) -> TypeGuard[Given]:
    return item is not None and item.value is True


SCHEMA = Schema(
    program="orchestratord",
    settings=Settings,
    file_only=frozenset({"pools", "api_keys", "api_token"}),
    secret=frozenset({"api_keys", "api_token"}),
    items={"pools": PoolConfig},
    not_served=NOT_SERVED_YET,
    complete=_with_demo,
    contradictions=_contradictions,
)
