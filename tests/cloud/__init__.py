"""CLOUD end to end: one control plane, several nodes, real engines, and faults between them."""
