"""``clusters.yaml`` and the parameters of a run."""
