"""Which nodes are online: leases, stale detection and safe mode."""
