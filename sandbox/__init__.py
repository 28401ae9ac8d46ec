"""A stand-in OpenShift cluster on one machine: API server, operator, registry pods, storage, pruner."""
