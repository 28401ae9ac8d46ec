"""What the objects of the registry are called in every OpenShift cluster."""

from __future__ import annotations

SMALL_IMAGE = "registry-prune-small"
"""Name of this project's own small image, wherever it is pulled from: pods of it run this project's Python."""

NAMESPACE = "openshift-image-registry"
DEPLOYMENT = "image-registry"
CONTAINER = "registry"
POD_LABELS = {"docker-registry": "default"}
POD_SELECTOR = "docker-registry=default"
ADDRESS_ANNOTATION = "sandbox/registry-address"
"""On a registry pod of the sandbox that serves: ``IP:PORT``, plain HTTP, on this machine."""
SERVICE_ACCOUNT = "registry"
READ_ONLY_VARIABLE = "REGISTRY_STORAGE_MAINTENANCE_READONLY"

CONFIGS = "configs.imageregistry.operator.openshift.io"
IMAGE_PRUNERS = "imagepruners.imageregistry.operator.openshift.io"
CLUSTER = "cluster"
"""Name of the one Config and of the one ImagePruner."""

PRUNER_CRON_JOB = "image-pruner"
PRUNER_SERVICE_ACCOUNT = "pruner"
CLUSTER_OPERATOR = "image-registry"
CLUSTER_VERSIONS = "clusterversions.config.openshift.io"
CLUSTER_VERSION = "version"
OPENSHIFT_VERSION = "4.18.14"
