"""`--demo`: a model that the program makes itself, on the CPU, and what to do with it."""

from pathlib import Path

from gpu_discovery import DevicePolicy
from local_pool_manager import PoolConfig
from orchestratord.config import Settings
from program_config import BindAddress

DEMO_POOL = "demo"
DEMO_SLOTS = 4


def with_demo(settings: Settings) -> Settings:
    """Return the settings of the demo: its model is made now if it is not there (blocking)."""
    import demo_model  # brings numpy along: a quarter of a start that needs none of it

    path = demo_model.ensure(settings.home / "models" / "demo")
    pool = PoolConfig(
        id=DEMO_POOL, model_ref=f"file:{path}", slots=DEMO_SLOTS, threads=1, embeddings=True
    )
    return settings.model_copy(update={"pools": (pool,), "device_policy": DevicePolicy.CPU})


def with_default_pool(settings: Settings) -> Settings:
    """Return the settings with the one pool that HOME has when none is configured."""
    if settings.pools:
        return settings
    pool = PoolConfig(id="default", model_ref=settings.model, swap_models=True)
    return settings.model_copy(update={"pools": (pool,)})


def banner(settings: Settings, address: BindAddress, *, took_s: float) -> str:
    """Return what the demo says once it serves."""
    url = f"http://{address}"
    model = Path((settings.pools[0].model_ref or "").removeprefix("file:")).name
    flag = "" if address.port == 8080 else f" --url {url}"
    return f"""
llama-orch is serving at {url} (ready after {took_s:.1f} s)

  what runs   a real llama.cpp engine on the CPU, {DEMO_SLOTS} slots, supervised, bound to loopback
  the model   {model}, made by this program: it recites one text, so do not expect more

Talk to it:

  uv run llorch run "What are you?"{flag}

  curl -N {url}/v2/tasks -H 'Content-Type: application/json' -H 'Accept: text/event-stream' \\
       -d '{{"prompt": "What are you?", "max_tokens": 64}}'

Look at it:  {url}/v2/pools   {url}/metrics   {url}/openapi.json
Stop it:     Ctrl-C
"""
