"""The deletions of the base prune: each prints its line, is done unless it is a dry run, and is counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.registry.api import IMAGE_STREAMS, IMAGES, ApiClient, ApiFailureError, JsonObject
from sandbox.registry.base_pruner.registry_service import RegistryService, RegistryServiceError


@dataclass
class PruneStatistics:
    """What was deleted; as text the end of the real summary line."""

    images: int = 0
    tag_items: int = 0
    streams: int = 0
    layer_links: int = 0
    manifest_links: int = 0
    blobs: int = 0

    def __str__(self) -> str:
        told = (
            (self.images, "deleted {} image object(s)"),
            (self.tag_items, "deleted {} image stream tag item(s)"),
            (self.streams, "updated {} image stream(s)"),
            (self.layer_links, "deleted {} layer link(s)"),
            (self.manifest_links, "deleted {} manifest link(s)"),
            (self.blobs, "deleted {} blob(s)"),
        )
        return ", ".join(text.format(count) for count, text in told if count) or "deleted 0 objects"


class Deletions:
    """Deletes in API and registry.

    :param service: the registry; None leaves it alone.
    :param dry_run: print and count, but do nothing.
    :ivar errors: what could not be deleted, in words.
    """

    def __init__(self, api: ApiClient, service: RegistryService | None, *, dry_run: bool) -> None:
        self._api = api
        self._service = service
        self.dry_run = dry_run
        self.statistics = PruneStatistics()
        self.errors: list[str] = []
        self._unlinked: set[tuple[str, str]] = set()

    @property
    def in_registry(self) -> bool:
        """Is anything to be deleted in the registry?"""
        return self._service is not None

    def current(self, stream: JsonObject) -> JsonObject:
        """The image stream as it is now.

        :raises ApiFailureError: it is gone, or the API does not answer.
        """
        metadata = stream["metadata"]
        return stream if self.dry_run else self._api.get(IMAGE_STREAMS, metadata["name"], metadata["namespace"])

    def update_stream(self, stream: JsonObject, items: int) -> JsonObject:
        """Write the status of an image stream.

        :param items: how many were taken from it.
        :raises ApiFailureError: 409 if it was changed meanwhile.
        """
        name = f"{stream['metadata']['namespace']}/{stream['metadata']['name']}"
        print(f"Deleting {items} items from image stream {name}")
        try:
            updated = stream if self.dry_run else self._api.replace_status(IMAGE_STREAMS, stream)
        except ApiFailureError as error:
            print(f"error updating image stream {name} to remove image references: {error}", file=sys.stderr)
            raise
        self.statistics.tag_items += items
        self.statistics.streams += 1
        return updated

    def layer_link(self, repository: str, digest: str) -> None:
        """Take a layer or a config from a repository, once."""
        if (repository, digest) not in self._unlinked and self._in_registry(
            lambda service: service.delete_layer_link(repository, digest),
            f"layer link {digest} in repository {repository}",
            f"repository {repository} layer link {digest} from the registry",
            f"imagestream {repository}: failed to delete layer link {digest}",
        ):
            self._unlinked.add((repository, digest))
            self.statistics.layer_links += 1

    def manifest_link(self, repository: str, digest: str) -> None:
        """Take a manifest from a repository."""
        if self._in_registry(
            lambda service: service.delete_manifest(repository, digest),
            f"manifest link {digest} in repository {repository}",
            f"manifest link {digest} from repository {repository}",
            f"imagestream {repository}: failed to delete manifest link {digest}",
        ):
            self.statistics.manifest_links += 1

    def blob(self, image: str, digest: str) -> bool:
        """Delete a blob of an image. False if that failed."""
        deleted = self._in_registry(
            lambda service: service.delete_blob(digest),
            f"blob {digest}",
            f"blob {digest} from the registry",
            f"image {image}: failed to delete blob {digest}",
        )
        self.statistics.blobs += deleted
        return deleted

    def image(self, digest: str) -> None:
        """Delete an Image object."""
        print(f"Deleting image {digest}")
        try:
            if not self.dry_run:
                self._api.delete(IMAGES, digest)
        except ApiFailureError as error:
            print(f"error deleting image {digest} from server: {error}", file=sys.stderr)
            if error.code != 404:
                self.errors.append(f"image {digest}: failed to delete image {digest}: {error}")
            return
        self.statistics.images += 1

    def _in_registry(self, delete: Callable[[RegistryService], None], what: str, kept: str, problem: str) -> bool:
        """Delete something in the registry, if there is one and this is no dry run.

        :param what: how ``oc`` names it before.
        :param kept: how ``oc`` names it on stderr when that failed.
        :param problem: what ``oc`` says of it in the end when that failed.
        """
        print(f"Deleting {what}")
        try:
            if self._service is not None and not self.dry_run:
                delete(self._service)
        except RegistryServiceError as error:
            print(f"error deleting {kept}: {error}", file=sys.stderr)
            self.errors.append(f"{problem}: {error}")
            return False
        return True
