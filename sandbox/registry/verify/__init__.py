"""Looks whether the cluster is as a run has to leave it."""
