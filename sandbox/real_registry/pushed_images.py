"""Image and ImageStream objects of what was pushed, as OpenShift's registry makes them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.registry.api import IMAGE_STREAMS, IMAGES
from sandbox.registry.objects import TagItem, image_object, image_stream_object, namespace_object
from sandbox.registry.storage import media_types
from sandbox.registry.storage.images import Blob, Image
from sandbox.registry.storage.layout import REPOSITORIES_ROOT, StorageLayout, blob_data_path, manifest_link_path
from sandbox.server.objects.store import Store

log = logging.getLogger(__name__)

_NAMESPACES = "namespaces"


class PushedImages:
    """Makes and refreshes the objects.

    :param storage: the registry's folder; the manifests are read from it.
    """

    def __init__(self, store: Store, storage: Path) -> None:
        self._store = store
        self._storage = StorageLayout(storage)

    def record(self, repository: str, digest: str, tag: str | None) -> None:
        """A manifest was pushed: there is an Image, and its revision is the newest of the tag.

        Namespace and image stream are made if they are not there. A name that is not ``NAMESPACE/NAME`` gets no
        objects (OpenShift's registry refuses it), nor does a manifest that is gone again.

        :param tag: None for a push by digest: part of a multi-architecture image; no tag names it.
        """
        namespace, separator, name = repository.partition("/")
        if not separator or "/" in name:
            log.warning("push of %s@%s: the name is not NAMESPACE/NAME, so no Image is made", repository, digest)
            return
        try:
            image = self._image(digest)
        except FileNotFoundError:
            log.warning("push of %s@%s: its manifest is gone already, so no Image is made", repository, digest)
            return
        now = datetime.now(UTC)
        if self._store.find(IMAGES, digest) is None:
            self._store.create(IMAGES, image_object(image, repository, now))
        if self._store.find(_NAMESPACES, namespace) is None:
            self._store.create(_NAMESPACES, namespace_object(namespace))
        if self._store.find(IMAGE_STREAMS, name, namespace) is None:
            self._store.create(IMAGE_STREAMS, image_stream_object(namespace, name, {}, now))
        if tag is not None:
            item = TagItem(digest, repository, now)
            fresh = image_stream_object(namespace, name, {tag: [item]}, now)["status"]
            self._store.modify(
                IMAGE_STREAMS, name, namespace, lambda stream: _add_revision(stream, fresh), subresource="status"
            )

    def tagged(self, repository: str, tag: str) -> str | None:
        """The digest that a tag of the storage names; None if there is no such tag."""
        try:
            return Path(
                f"{self._storage.root}{REPOSITORIES_ROOT}/{repository}/_manifests/tags/{tag}/current/link"
            ).read_text()
        except FileNotFoundError:
            return None

    def link_children(self) -> None:
        """Give the children of multi-architecture images their links back, which every hard prune takes.

        OpenShift's registry serves a manifest that its image stream names, or a list in it, without a link in the
        storage; ``docker-registry`` needs one.
        """
        for stream in self._store.records(IMAGE_STREAMS):
            metadata, status = stream.object["metadata"], stream.object.get("status") or {}
            repository = f"{metadata['namespace']}/{metadata['name']}"
            for digest in {item["image"] for tag in status.get("tags") or [] for item in tag.get("items") or []}:
                image = self._store.find(IMAGES, digest)
                for child in (image.object.get("dockerImageManifests") or []) if image else []:
                    self._link(repository, child["digest"])

    def _link(self, repository: str, digest: str) -> None:
        root = self._storage.root
        link, blob = Path(f"{root}{manifest_link_path(repository, digest)}"), Path(f"{root}{blob_data_path(digest)}")
        if blob.exists() and not link.exists():
            self._storage.link_manifest(repository, digest)

    def _image(self, digest: str) -> Image:
        """:raises FileNotFoundError: the manifest is not in the storage."""
        content = self._storage.read_blob(digest)
        manifest = json.loads(content)
        blob = Blob(digest, len(content))
        if "manifests" in manifest:
            media_type = manifest.get("mediaType", media_types.OCI_INDEX)
            return Image(blob, media_type, children=tuple(map(_child, manifest["manifests"])), architecture="")
        media_type = manifest.get("mediaType", media_types.OCI_MANIFEST)
        config, layers = _blob(manifest["config"]), tuple(map(_blob, manifest["layers"]))
        architecture = json.loads(self._storage.read_blob(config.digest)).get("architecture", "")
        return Image(blob, media_type, config, layers, architecture=architecture)


def _blob(descriptor: dict[str, Any]) -> Blob:
    return Blob(descriptor["digest"], descriptor["size"])


def _child(descriptor: dict[str, Any]) -> Image:
    architecture = (descriptor.get("platform") or {}).get("architecture", "")
    return Image(_blob(descriptor), descriptor["mediaType"], architecture=architecture)


def _add_revision(stream: dict[str, Any], fresh: dict[str, Any]) -> None:
    """Put the one revision of ``fresh`` on top of its tag; nothing changes if that image is on top already."""
    status = stream.setdefault("status", {})
    status.setdefault("dockerImageRepository", fresh["dockerImageRepository"])
    (new,) = fresh["tags"]
    tags = status.setdefault("tags", [])
    present = next((tag for tag in tags if tag["tag"] == new["tag"]), None)
    if present is None:
        tags.append(new)
    elif [item["image"] for item in present["items"][:1]] != [new["items"][0]["image"]]:
        present["items"] = [*new["items"], *present["items"]]
