"""The messages with which a node registers, reports and leaves."""
