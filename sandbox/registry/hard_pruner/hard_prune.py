"""What ``dockerregistry -prune`` does to the storage: links and repositories first, then blobs.

Facts from github.com/openshift/image-registry, pkg/dockerregistry/server/prune/prune.go, and the transcripts.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.registry.api import IMAGE_STREAMS, IMAGES, ApiClient, ApiFailureError, JsonObject
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.hard_pruner.bucket_driver import BucketDriver
from sandbox.registry.hard_pruner.driver import FilesystemDriver, PathNotFoundError, RegistryError
from sandbox.registry.hard_pruner.logrus import Logger
from sandbox.registry.hard_pruner.made_up import MadeUpOrphans
from sandbox.registry.storage.digests import check_digest
from sandbox.registry.storage.layout import (
    BLOBS_ROOT,
    REPOSITORIES_ROOT,
    blob_data_path,
    blob_path,
    manifest_link_path,
    revisions_path,
)
from sandbox.registry.storage.media_types import DOCKER_MANIFEST, IMAGE_MANIFESTS

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY_NAME = re.compile(rf"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*")


def digests_in_use(
    images: list[JsonObject], manifests_with_config: tuple[str, ...] = IMAGE_MANIFESTS
) -> dict[str, str]:
    """What the real pruner keeps: digest to the reference of an image that it belongs to.

    The config of an Image without ``dockerImageManifestMediaType`` is not among them: a flaw of the real one
    (transcripts 91 to 93).

    :param manifests_with_config: media types of the manifests whose config it keeps.
    """
    in_use: dict[str, str] = {}
    for image in images:
        reference = image.get("dockerImageReference", "")
        in_use[image["metadata"]["name"]] = reference
        if image.get("dockerImageManifestMediaType") in manifests_with_config:
            in_use[(image.get("dockerImageMetadata") or {}).get("Id", "")] = reference
        for layer in image.get("dockerImageLayers") or []:
            in_use[layer["name"]] = reference
    return in_use


@dataclass
class Summary:
    """What was found (or deleted) so far; a blob that could not be deleted is counted."""

    blobs: int = 0
    size: int = 0


class HardPrune:
    """One run.

    :param made_up: orphans to tell of instead of those in the storage.
    :param delete: False for a dry run.
    :param summary: counts while the run goes on.
    """

    def __init__(
        self,
        api: ApiClient,
        driver: FilesystemDriver | BucketDriver,
        log: Logger,
        faults: PrunerFaults,
        made_up: MadeUpOrphans | None = None,
        *,
        delete: bool,
    ) -> None:
        self._api = api
        self._driver = driver
        self._log = log
        self._faults = faults
        self._made_up = made_up
        self._delete = delete
        self._in_use: dict[str, str] = {}
        self._pending: Callable[[], None] | None = None
        self.summary = Summary()

    def run(self) -> None:
        """Do it all.

        :raises RegistryError: it ended early; ``summary`` says how far it came.
        """
        try:
            with_config = (DOCKER_MANIFEST,) if self._faults.takes_oci_configs else IMAGE_MANIFESTS
            self._in_use = digests_in_use(self._api.list(IMAGES), with_config)
        except ApiFailureError as error:
            raise RegistryError(f"error listing images: {error}") from error
        if self._made_up is not None:
            self._prune_made_up(self._made_up)
            return
        try:
            self._prune_repositories()
        except PathNotFoundError as error:
            self._log.warning(f"No repositories found: {error}")
            return
        self._collect()
        self._log.debug("Processing blobs")
        self._prune_blobs()

    def _prune_made_up(self, orphans: MadeUpOrphans) -> None:
        limit = self._faults.kill_after_blobs
        for told in orphans.tell(self._log, delete=self._delete, seconds_each=self._faults.seconds_each(self._delete)):
            self.summary.blobs, self.summary.size = told, told * orphans.size
            if limit is not None and told >= limit:
                os.kill(os.getpid(), signal.SIGKILL)

    def _prune_repositories(self) -> None:
        with self._driver.walking(REPOSITORIES_ROOT):
            for path, _ in self._driver.walk(REPOSITORIES_ROOT, enter_hidden=False):
                if path.endswith("/_manifests"):
                    name = path.removeprefix(f"{REPOSITORIES_ROOT}/").removesuffix("/_manifests")
                    self._prune_repository(name)

    def _prune_repository(self, repository: str) -> None:
        self._log.debug(f"Processing repository {repository}")
        if not _REPOSITORY_NAME.fullmatch(repository):
            raise RegistryError(f"failed to parse the repo name {repository}: invalid reference format")
        namespace, separator, name = repository.partition("/")
        if not separator:
            raise RegistryError(
                f"failed to get the image stream {repository}: "
                "an empty namespace may not be set when a resource name is provided"
            )
        if "/" in name:
            self._log.info(f"Invalid image name {repository}, removing whole repository")
            self._defer(lambda: self._delete_repository(repository))
            return
        try:
            stream = self._api.get(IMAGE_STREAMS, name, namespace)
        except ApiFailureError as error:
            if error.code != 404:
                raise RegistryError(f"failed to get the image stream {repository}: {error}") from error
            self._log.info(f"The image stream {repository} is not found, will remove the whole repository")
            self._defer(lambda: self._delete_repository(repository))
            return
        self._prune_manifest_links(repository, _manifests_of(stream))

    def _prune_manifest_links(self, repository: str, kept: set[str]) -> None:
        try:
            with self._driver.walking(revisions_path(repository)):
                for path, is_folder in self._driver.walk(revisions_path(repository)):
                    if is_folder or not path.endswith("/link"):
                        continue
                    digest = self._linked(path)
                    if self._is_served(repository, digest):
                        self._prune_manifest_link(repository, digest, kept)
        except PathNotFoundError as error:
            self._log.info(f"Skipped manifest link pruning for the repository {repository}: {error}")
        except RegistryError as error:
            raise RegistryError(f"failed to prune manifest links in the repository {repository}: {error}") from None

    def _prune_manifest_link(self, repository: str, digest: str, kept: set[str]) -> None:
        if digest in self._in_use and digest in kept:
            self._log.debug(f"Keeping the manifest link {repository}@{digest}")
        else:
            self._defer(lambda: self._delete_manifest_link(repository, digest))

    def _linked(self, path: str) -> str:
        try:
            return check_digest(self._driver.content(path))
        except ValueError as error:
            raise RegistryError(str(error)) from None

    def _is_served(self, repository: str, digest: str) -> bool:
        try:
            self._driver.size(blob_data_path(self._linked(manifest_link_path(repository, digest))))
        except PathNotFoundError:
            return False
        return True

    def _defer(self, deletion: Callable[[], None]) -> None:
        # One deletion lags behind the walk, so that nothing vanishes under it.
        self._collect()
        self._pending = deletion

    def _collect(self) -> None:
        if self._pending is not None:
            self._pending()
            self._pending = None

    def _delete_repository(self, repository: str) -> None:
        path = f"{REPOSITORIES_ROOT}/{repository}"
        if not self._delete:
            self._log.info(f"Would delete repository: {repository}")
            return
        self._log.info(f"Deleting repo: {path}")
        try:
            self._driver.delete(path)
        except RegistryError as error:
            raise RegistryError(f"unable to remove the repository {repository}: {error}") from None

    def _delete_manifest_link(self, repository: str, digest: str) -> None:
        if not self._delete:
            self._log.info(f"Would delete manifest link: {repository}@{digest}")
            return
        self._log.info(f"Deleting manifest link: {repository}@{digest}")
        self._log.debug("(*manifestStore).Delete")
        try:
            self._unlink_manifest(repository, digest)
        except RegistryError as error:
            raise RegistryError(f"failed to delete the manifest link {repository}@{digest}: {error}") from None

    def _unlink_manifest(self, repository: str, digest: str) -> None:
        if not self._is_served(repository, digest):
            raise RegistryError("unknown blob")
        self._driver.delete(manifest_link_path(repository, digest))

    def _prune_blobs(self) -> None:
        with self._driver.walking(BLOBS_ROOT):
            for path, is_folder in self._driver.walk(BLOBS_ROOT):
                if not is_folder and path.endswith("/data"):
                    self._prune_blob(_digest_at(path))

    def _prune_blob(self, digest: str) -> None:
        reference = self._in_use.get(digest)
        if reference is not None:
            self._log.debug(f"Keeping the blob {digest} (it belongs to the image {reference})")
            return
        self._play_faults(digest)
        try:
            size = self._driver.size(blob_data_path(digest))
        except PathNotFoundError:
            raise RegistryError("unknown blob") from None
        self.summary.blobs += 1
        self.summary.size += size
        self._delete_blob(digest)

    def _delete_blob(self, digest: str) -> None:
        if not self._delete:
            self._log.info(f"Would delete blob: {digest}")
            return
        self._log.info(f"Deleting blob: {blob_path(digest)}")
        limit, refused = self._faults.fail_delete_after_blobs, None
        if limit is not None and self.summary.blobs > limit:
            refused = OSError(errno.EPERM, "Operation not permitted")
        try:
            self._driver.delete(blob_path(digest), refused=refused)
        except RegistryError as error:
            raise RegistryError(f"failed to delete the blob {digest}: {error}") from None

    def _play_faults(self, digest: str) -> None:
        if seconds := self._faults.seconds_each(self._delete):
            time.sleep(seconds)
        if self._faults.kill_after_blobs == self.summary.blobs:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._faults.vanish_after_blobs == self.summary.blobs:
            self._driver.delete(blob_path(digest))
            raise self._driver.vanished(blob_path(digest))


def _manifests_of(stream: JsonObject) -> set[str]:
    tags = stream.get("status", {}).get("tags") or []
    return {item["image"] for tag in tags for item in tag.get("items") or []}


def _digest_at(path: str) -> str:
    names = path.removeprefix(f"{BLOBS_ROOT}/").removesuffix("/data").split("/")
    try:
        return check_digest(f"{names[0]}:{names[-1]}")
    except ValueError as error:
        raise RegistryError(str(error)) from None
