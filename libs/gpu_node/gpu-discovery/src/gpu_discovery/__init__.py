"""NVIDIA GPUs through NVML: inventory, memory, utilisation, errors."""
