"""Other gateways, each from the package index in an environment of its own."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.certificates import Certificate
from benchmarks.engine import MODEL
from benchmarks.places import Place, free_port, listening

TOKENS = {"litellm": "sk-the-key-of-the-benchmarks"}
"""What a peer wants to be shown, where it does not start without."""
ENVIRONMENTS = Path.home() / ".cache" / "llama-orch-benchmarks"

_NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 20000; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port}{tls};
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; keepalive_requests 1000000;
    }}
  }}
}}
"""


@contextmanager
def nginx(engine_port: int, certificate: Certificate | None = None) -> Iterator[Place]:
    """Run nginx as a plain proxy, buffering off, access log on."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        config = Path(folder, "nginx.conf")
        tls = " backlog=4096"
        if certificate is not None:
            files = f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key}"
            tls = f" ssl backlog=4096; {files}"
        config.write_text(_NGINX.format(folder=folder, engine=engine_port, port=port, tls=tls))
        command = [shutil.which("nginx") or "nginx", "-p", folder, "-c", str(config)]
        context = None if certificate is None else certificate.client
        with listening("nginx", "/health", port, *command, tls=context) as place:
            yield place


@contextmanager
def vllm_router(engine_port: int) -> Iterator[Place]:
    """Run vLLM's router with its cheapest policy and logs as they come."""
    with _rust_router("vllm-router", [str(program("vllm-router"))], engine_port) as place:
        yield place


@contextmanager
def sglang_router(engine_port: int) -> Iterator[Place]:
    """Run SGLang's router in the same way."""
    python = str(program("sglang-router", "python"))
    command = [python, "-m", "sglang_router.launch_router"]
    with _rust_router("sglang-router", command, engine_port) as place:
        yield place


@contextmanager
def _rust_router(name: str, command: list[str], engine_port: int) -> Iterator[Place]:
    port = free_port()
    with listening(
        name,
        "/v1/models",
        port,
        *command,
        *("--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin"),
        *("--worker-urls", f"http://127.0.0.1:{engine_port}"),
        *("--prometheus-port", str(free_port()), "--prometheus-host", "127.0.0.1"),
    ) as place:
        yield place


@contextmanager
def litellm(engine_port: int) -> Iterator[Place]:
    """Run LiteLLM's proxy with one worker and no database."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        config = Path(folder, "config.yaml")
        config.write_text(
            f"model_list:\n- model_name: {MODEL}\n  litellm_params:\n    model: openai/{MODEL}\n"
            f"    api_base: http://127.0.0.1:{engine_port}/v1\n    api_key: none\n"
        )
        command = [str(program("litellm[proxy]", "litellm"))]
        command += ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        environment = {
            "LITELLM_MASTER_KEY": TOKENS["litellm"],
            # Prices are looked up on the internet at each start otherwise.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        with listening("litellm", "/health/liveliness", port, *command, **environment) as place:
            yield place


PEERS: dict[str, Callable[[int], AbstractContextManager[Place]]] = {
    "vllm-router": vllm_router,
    "sglang-router": sglang_router,
    "litellm": litellm,
}
"""By package name."""


def program(package: str, name: str | None = None) -> Path:
    """The program of a package, which is installed when first asked for."""
    environment = ENVIRONMENTS / package.partition("[")[0]
    found = environment / "bin" / (name or package)
    if not (environment / "installed").exists():
        environment.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["uv", "venv", "--quiet", "--clear", str(environment)], check=True)
        python = str(environment / "bin" / "python")
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, package], check=True)
        (environment / "installed").touch()
    return found


def version(package: str) -> str:
    """The installed version of a peer; empty when it is not there."""
    environment = ENVIRONMENTS / package
    python = environment / "bin" / "python"
    if not python.exists():
        return ""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return told.stdout.strip()
