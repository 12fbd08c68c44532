"""The provisioner as a service of its own: it starts engines and hands them over by files."""
