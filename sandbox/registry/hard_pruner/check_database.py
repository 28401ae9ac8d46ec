"""``dockerregistry -experimental -restore-mode=check-database``: is every managed Image whole in the storage?

Facts from github.com/openshift/image-registry, pkg/dockerregistry/server/prune/restore.go, and transcripts 80-96.
"""

from __future__ import annotations

import json
import sys

from sandbox.registry.api import IMAGE_STREAMS, IMAGES, MANAGED_ANNOTATION, ApiClient, ApiFailureError, JsonObject
from sandbox.registry.hard_pruner.bucket_driver import BucketDriver
from sandbox.registry.hard_pruner.driver import FilesystemDriver, PathNotFoundError, RegistryError
from sandbox.registry.storage.layout import blob_data_path
from sandbox.registry.storage.media_types import IMAGE_MANIFESTS

_UNKNOWN_BLOB = "unknown blob"


class DatabaseCheck:
    """One check. It prints a line for each broken Image and image stream tag, and nothing if all is whole."""

    def __init__(self, api: ApiClient, driver: FilesystemDriver | BucketDriver) -> None:
        self._api = api
        self._driver = driver
        self._checked: set[str] = set()
        self._present: dict[str, bool] = {}

    def run(self, namespace: str | None = None) -> None:
        """Check the tags of the image streams, then the Images that no tag names.

        :param namespace: only that one's image streams; None for all.
        :raises RegistryError: the API did not answer.
        """
        try:
            streams = self._api.list(IMAGE_STREAMS, namespace)
        except ApiFailureError as error:
            asked = namespace or "all"
            raise RegistryError(f"failed to list image streams in namespace(s): {asked}, error: {error}") from error
        for stream in streams:
            for tag in stream.get("status", {}).get("tags") or []:
                self._check_tag(stream, tag)
        try:
            images = self._api.list(IMAGES)
        except ApiFailureError as error:
            raise RegistryError(f"failed to list all images: {error}") from error
        for image in images:
            if image["metadata"]["name"] not in self._checked and self._missing(image):
                _print_broken_image(image["metadata"]["name"], _UNKNOWN_BLOB)

    def _check_tag(self, stream: JsonObject, tag: JsonObject) -> None:
        for position, item in enumerate(tag.get("items") or []):
            digest = item["image"]
            if digest in self._checked:
                continue
            self._checked.add(digest)
            try:
                image = self._api.get(IMAGES, digest)
            except ApiFailureError as error:
                if error.code != 404:
                    raise RegistryError(str(error)) from error
                _print_broken_image(digest, str(error))
                continue
            missing = self._missing(image)
            if missing:
                metadata = stream["metadata"]
                name = json.dumps(f"{metadata['namespace']}/{metadata['name']}:{tag['tag']}")
                what = "image" if missing == digest else "image blob"
                sys.stdout.write(
                    f'Broken imagestream tag {name} in position {position}: {what} "{missing}": {_UNKNOWN_BLOB}\n'
                )

    def _missing(self, image: JsonObject) -> str | None:
        """The first digest of a managed image that is not in the storage; only its presence is looked at."""
        if (image["metadata"].get("annotations") or {}).get(MANAGED_ANNOTATION) != "true":
            return None
        digests = [image["metadata"]["name"]]
        if image.get("dockerImageManifestMediaType") in IMAGE_MANIFESTS:
            digests.append((image.get("dockerImageMetadata") or {}).get("Id", ""))
        digests += [layer["name"] for layer in image.get("dockerImageLayers") or []]
        return next((digest for digest in digests if not self._is_present(digest)), None)

    def _is_present(self, digest: str) -> bool:
        if digest not in self._present:
            try:
                self._driver.size(blob_data_path(digest))
                self._present[digest] = True
            except PathNotFoundError:
                self._present[digest] = False
        return self._present[digest]


def _print_broken_image(digest: str, cause: str) -> None:
    sys.stdout.write(f'Broken image "{digest}": {cause}\n')
