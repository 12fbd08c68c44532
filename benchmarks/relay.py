"""What a node's relay costs: alone beside nginx, and as a part of the whole way of a cluster."""

from contextlib import ExitStack
from typing import Any

from benchmarks import load, peers, places
from benchmarks.certificates import certificate
from benchmarks.places import CLIENT_KEY, SERVICE_TOKEN, Place
from benchmarks.scale import Scale
from benchmarks.traffic import BURST_TOKENS, Subject, bursts, paces

ENGINE_PATH = "/v2/pools/bench/replicas/0/engine"


def relay(scale: Scale) -> dict[str, Any]:
    """Burst and paced through nginx, the relay, HOME and CLOUD; all processes on the way count."""
    return {
        "burst": bursts(scale, lambda stack, engine: _subjects(stack, engine, BURST_TOKENS)),
        "paced": paces(scale, lambda stack, engine: _subjects(stack, engine, scale.paced_tokens)),
    }


def _subjects(stack: ExitStack, engine: Place, tokens: int) -> list[Subject]:
    shown = stack.enter_context(certificate())
    tls = {"POOL_MANAGERD_TLS_CERT": str(shown.chain), "POOL_MANAGERD_TLS_KEY": str(shown.key)}
    start = stack.enter_context
    node = start(places.pool_managerd(engine))
    home = start(places.orchestratord(engine, ORCHD_ADMISSION_CAPACITY="100000"))
    behind = start(places.pool_managerd(engine))
    cloud = start(places.control_plane(behind))
    through = load.relayed(tokens, ENGINE_PATH, SERVICE_TOKEN)
    encrypted = load.relayed(tokens, ENGINE_PATH, SERVICE_TOKEN, tls=shown.client)
    return [
        Subject("pipe", start(places.pipe(engine.port)), load.llamacpp(tokens)),
        Subject("nginx", start(peers.nginx(engine.port)), load.llamacpp(tokens)),
        Subject("relay", node, through),
        Subject(
            "nginx, TLS",
            start(peers.nginx(engine.port, shown)),
            load.llamacpp(tokens, tls=shown.client),
        ),
        Subject("relay, TLS", start(places.pool_managerd(engine, **tls)), encrypted),
        Subject("HOME", home, load.native(tokens)),
        Subject("CLOUD", cloud, load.native(tokens, token=CLIENT_KEY), (behind,)),
    ]
