"""From evidence to a verdict: skip, prune or stop."""
