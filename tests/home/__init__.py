"""HOME end to end: real daemons, real engines, and nothing but HTTP and signals between."""
