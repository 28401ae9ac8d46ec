"""The base prune: its Job, the Job's log, and the pods that remember what it deleted."""
