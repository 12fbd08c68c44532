"""What the control plane costs: CPU time, latency and memory, side by side with others."""
