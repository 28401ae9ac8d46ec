"""Media types of what a registry holds."""

from __future__ import annotations

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

IMAGE_MANIFESTS = (DOCKER_MANIFEST, OCI_MANIFEST)
"""Manifests of one image, with a config and layers."""
MANIFEST_LISTS = (DOCKER_MANIFEST_LIST, OCI_INDEX)
"""Manifests that name the manifests of several architectures."""
