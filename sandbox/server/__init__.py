"""A stand-in for the API server of a Kubernetes/OpenShift cluster, for one process on one machine."""
