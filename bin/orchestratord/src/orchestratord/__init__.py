"""The control plane daemon of llama-orch."""
