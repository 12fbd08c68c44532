"""The node daemon of llama-orch: pools, engines and the relay to them."""
