"""Is everything in the storage that the cluster's Images need, with the right content? What is there besides?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

from sandbox.registry.api import MANAGED_ANNOTATION, JsonObject
from sandbox.registry.storage.layout import StorageLayout


class StorageCheck:
    """Looks at the blobs of all Images.

    :ivar problems: a line for each blob that is missing or damaged.
    :ivar images_checked: Images whose content this registry has to hold.
    :ivar needed: every digest that an Image needs.
    """

    def __init__(self, storage: StorageLayout) -> None:
        self._storage = storage
        self._whole: dict[str, bool] = {}
        self.problems: list[str] = []
        self.images_checked = 0
        self.needed: set[str] = set()

    @property
    def digests_checked(self) -> int:
        """Blobs that were looked for."""
        return len(self._whole)

    def check(self, images: Iterable[JsonObject]) -> None:
        """Check the blobs of the Images, and what their manifests name."""
        for image in images:
            named = list(_named(image))
            self.needed.update(digest for _, digest in named)
            if (image["metadata"].get("annotations") or {}).get(MANAGED_ANNOTATION) != "true":
                continue  # imported: its content is elsewhere
            self.images_checked += 1
            for part, digest in named:
                self._check(image, part, digest)

    def orphans(self) -> tuple[int, int]:
        """Count and bytes of the blobs that no Image needs."""
        count = size = 0
        for digest, blob_size in self._storage.blobs():
            if digest not in self.needed:
                count += 1
                size += blob_size
        return count, size

    def _check(self, image: JsonObject, part: str, digest: str) -> None:
        if digest in self._whole:
            return
        self.needed.add(digest)
        problem = self._problem(digest)
        self._whole[digest] = problem is None
        if problem:
            self.problems.append(
                f"blob {digest}: {problem}; it is {part} of {image.get('dockerImageReference', 'an image')}"
            )
        elif part.endswith("manifest"):
            for child_part, child in _in_manifest(self._storage.read_blob(digest)):
                self._check(image, child_part, child)

    def _problem(self, digest: str) -> str | None:
        try:
            content = hashlib.sha256(self._storage.read_blob(digest)).hexdigest()
        except FileNotFoundError:
            return "it is missing in the storage"
        if f"sha256:{content}" != digest:
            return f"its content is damaged and hashes to sha256:{content}"
        return None


def _named(image: JsonObject) -> Iterator[tuple[str, str]]:
    yield "the manifest", image["metadata"]["name"]
    config = (image.get("dockerImageMetadata") or {}).get("Id")
    if config:
        yield "the config", config
    for layer in image.get("dockerImageLayers") or []:
        yield "a layer", layer["name"]
    for child in image.get("dockerImageManifests") or []:
        yield "a child manifest", child["digest"]


def _in_manifest(content: bytes) -> Iterator[tuple[str, str]]:
    """What a manifest itself names; nothing if it is none."""
    try:
        manifest = json.loads(content)
    except ValueError:
        return
    if "config" in manifest:
        yield "the config", manifest["config"]["digest"]
    for layer in manifest.get("layers") or []:
        yield "a layer", layer["digest"]
    for child in manifest.get("manifests") or []:
        yield "a child manifest", child["digest"]
