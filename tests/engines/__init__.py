"""The adapters and the daemons against engines that are installed apart; see docs/engines.md."""
