"""Image and ImageStream objects (image.openshift.io/v1) for images in the storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.registry.api import MANAGED_ANNOTATION
from sandbox.registry.storage import media_types
from sandbox.registry.storage.images import Image

REGISTRY_HOST = "image-registry.openshift-image-registry.svc:5000"

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class TagItem:
    """One revision of a tag.

    :param repository: ``NS/NAME`` that the image was pushed to.
    """

    digest: str
    repository: str
    created: datetime


def api_time(moment: datetime) -> str:
    """A moment as the API writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def created_at(api_object: Mapping[str, Any]) -> datetime:
    """When the object was created, in the seed's story."""
    return datetime.fromisoformat(api_object["metadata"]["creationTimestamp"])


def image_object(image: Image, repository: str, created: datetime, *, media_type: str | None = None) -> JsonObject:
    """The Image of an image that was pushed to this registry.

    :param repository: ``NS/NAME``.
    :param media_type: what ``dockerImageManifestMediaType`` says, if not the truth.
    """
    docker = image.media_type in (media_types.DOCKER_MANIFEST, media_types.DOCKER_MANIFEST_LIST)
    layer_type = media_types.DOCKER_LAYER if docker else media_types.OCI_LAYER
    value: JsonObject = {
        "apiVersion": "image.openshift.io/v1",
        "kind": "Image",
        "metadata": {
            "name": image.manifest.digest,
            "annotations": {
                "image.openshift.io/dockerLayersOrder": "ascending",
                "image.openshift.io/manifestBlobStored": "true",
                MANAGED_ANNOTATION: "true",
            },
            "creationTimestamp": api_time(created),
        },
        "dockerImageReference": f"{REGISTRY_HOST}/{repository}@{image.manifest.digest}",
        "dockerImageMetadata": _metadata(image, created),
        "dockerImageMetadataVersion": "1.0",
        "dockerImageManifestMediaType": image.media_type if media_type is None else media_type,
        "dockerImageLayers": [
            {"name": layer.digest, "size": layer.size, "mediaType": layer_type} for layer in image.layers
        ],
    }
    if image.children:
        value["dockerImageManifests"] = [_child(child) for child in image.children]
    return value


def image_stream_object(
    namespace: str, name: str, tags: Mapping[str, Sequence[TagItem]], created: datetime
) -> JsonObject:
    """An ImageStream with its status.

    :param tags: revisions of each tag, the newest first.
    """
    return {
        "apiVersion": "image.openshift.io/v1",
        "kind": "ImageStream",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": api_time(created),
        },
        "spec": {"lookupPolicy": {"local": False}},
        "status": {
            "dockerImageRepository": f"{REGISTRY_HOST}/{namespace}/{name}",
            "tags": [{"tag": tag, "items": [_item(item) for item in items]} for tag, items in tags.items()],
        },
    }


def namespace_object(name: str) -> JsonObject:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _metadata(image: Image, created: datetime) -> JsonObject:
    metadata: JsonObject = {"apiVersion": "image.openshift.io/1.0", "kind": "DockerImage"}
    if image.config is not None:
        metadata |= {
            "Id": image.config.digest,
            "Architecture": image.architecture,
            "Created": api_time(created),
            "Size": image.config.size + sum(layer.size for layer in image.layers),
        }
    return metadata


def _child(child: Image) -> JsonObject:
    return {
        "digest": child.manifest.digest,
        "mediaType": child.media_type,
        "manifestSize": child.manifest.size,
        "architecture": child.architecture,
        "os": "linux",
    }


def _item(item: TagItem) -> JsonObject:
    return {
        "created": api_time(item.created),
        "dockerImageReference": f"{REGISTRY_HOST}/{item.repository}@{item.digest}",
        "image": item.digest,
        "generation": 1,
    }
