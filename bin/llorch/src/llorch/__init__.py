"""The command line of llama-orch."""
