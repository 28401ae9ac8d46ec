"""The exact delete, as it works in its pod: the audited list, in batches, and nothing else."""
