"""The controllers of every cluster: Deployments, ReplicaSets, Jobs, nodes, scheduling."""
