"""Polls nodes that are listed by URL or DNS and reports them as if they had registered."""
