"""A start imports what it uses: the rest costs every start time, and memory as long as it runs."""

import json
import subprocess
import sys

import pytest

NEVER = {
    "pynvml",  # NVIDIA's binding: only where its library is
    "numpy",  # the demo's model
    "gguf",
    "demo_model",
    "obstore",  # models from object stores
    "xllamacpp",  # the engine, which is a process of its own
    "orchestratord.testing",
    "hypothesis",
}
HOME_ONLY = {"orchestratord.home"}
CLOUD_ONLY = {"orchestratord.cloud", "service_registry", "node_health_poller"}

IMPORT = """
import json, sys
from orchestratord import cli, serving
from orchestratord.config import SCHEMA
from orchestratord.openai.parameters import ChatRequest
from program_config import load
environ = {"ORCHD_POOL_MANAGERS": sys.argv[1]}
cli._layout(load(SCHEMA, command_line={}, environ=environ).settings)
print(json.dumps({"modules": list(sys.modules), "built": ChatRequest.__pydantic_complete__}))
"""


@pytest.mark.parametrize(
    ("nodes", "others"),
    [("", CLOUD_ONLY), ("http://127.0.0.1:9200", HOME_ONLY)],
    ids=["home", "remote nodes"],
)
def test_a_start_imports_nothing_that_only_other_uses_need(nodes: str, others: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, nodes],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert not (NEVER | others) & set(told["modules"])
    assert not told["built"], "models are built when they are first used"
