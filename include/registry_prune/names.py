"""What the objects of the registry, and ours, are called in every cluster (pure)."""

from __future__ import annotations

NAMESPACE = "openshift-image-registry"
DEPLOYMENT = "image-registry"
REGISTRY_CONTAINER = "registry"
REGISTRY_POD_LABELS = "docker-registry=default"
IMAGE_PRUNER_CRON_JOB = "image-pruner"
IMAGE_PRUNER_ROLE = "system:image-pruner"

OUR_BINDING = "registry-prune-image-pruner"
"""One fixed name: what a run that died left behind is found again, and taken away by the next."""
MANAGED_BY = {"app.kubernetes.io/managed-by": "registry-prune"}
"""Label of what this project makes in a cluster."""
