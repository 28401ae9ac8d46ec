"""What ``oc adm prune images`` does: old tag revisions leave the image streams, then Images that nothing names.

Facts from github.com/openshift/oc, pkg/cli/admin/prune/imageprune/prune.go.
"""

from __future__ import annotations

import copy
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.registry.api import MANAGED_ANNOTATION, ApiFailureError, JsonObject
from sandbox.registry.base_pruner.image_usage import ImageUsage
from sandbox.registry.base_pruner.prune_deletions import Deletions
from sandbox.registry.faults import PrunerFaults
from sandbox.registry.objects import created_at
from sandbox.registry.storage.media_types import IMAGE_MANIFESTS

_CONFLICT_ATTEMPTS = 5


class InterruptedPruneError(Exception):
    """The ordered fault: the run ends in the middle."""


@dataclass(frozen=True)
class Retention:
    """What the base prune has to keep.

    :param tag_revisions: how many revisions of each tag.
    :param since: everything that was created after that.
    :param all_images: False keeps Images that were imported from elsewhere.
    """

    tag_revisions: int
    since: datetime
    all_images: bool


@dataclass
class _StreamPlan:
    """What goes from one image stream and its repository."""

    items: int = 0
    manifests: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)


class BasePrune:
    """One run over all Images.

    :param images: every Image there is.
    :param usage: what workloads name.
    """

    def __init__(
        self,
        images: Iterable[JsonObject],
        usage: ImageUsage,
        retention: Retention,
        deletions: Deletions,
        faults: PrunerFaults,
    ) -> None:
        self._images = {image["metadata"]["name"]: image for image in images}
        self._usage = usage
        self._retention = retention
        self._deletions = deletions
        self._faults = faults

    def prune_stream(self, stream: JsonObject) -> JsonObject | None:
        """Prune the tags of one image stream; the stream as it is afterwards, None if it is gone."""
        if created_at(stream) > self._retention.since:
            return stream
        repository = f"{stream['metadata']['namespace']}/{stream['metadata']['name']}"
        try:
            pruned, plan = self._update_stream(stream, repository)
        except ApiFailureError as error:
            if error.code == 404:
                return None
            self._deletions.errors.append(f"imagestream {repository}: {error}")
            return stream
        for manifest in plan.manifests:
            self._deletions.manifest_link(repository, manifest)
        return pruned

    def prune_images(self, streams: Iterable[JsonObject]) -> None:
        """Delete the Images that none of the streams names, and their blobs.

        :raises InterruptedPruneError: ordered.
        """
        used = {item["image"] for stream in streams for tag in _tags(stream) for item in tag["items"]}
        for name in sorted(used & self._images.keys()):
            used |= {child["digest"] for child in self._images[name].get("dockerImageManifests") or []}
        blobs = Counter(blob for image in self._images.values() for blob in _blobs_and_manifest(image))
        candidates = [
            image for name, image in sorted(self._images.items()) if name not in used and not self._is_retained(image)
        ]
        if self._faults.interrupt_after_images is not None:
            self._interrupt(candidates[: self._faults.interrupt_after_images])
        for image in candidates:
            time.sleep(self._faults.seconds_per_blob)
            self._prune_image(image, blobs)

    def _update_stream(self, stream: JsonObject, repository: str) -> tuple[JsonObject, _StreamPlan]:
        attempts = _CONFLICT_ATTEMPTS
        while True:
            pruned = copy.deepcopy(self._deletions.current(stream))
            plan = self._take_old_items(pruned, repository)
            for layer in plan.layers:
                self._deletions.layer_link(repository, layer)
            if not plan.items:
                return pruned, plan
            try:
                return self._deletions.update_stream(pruned, plan.items), plan
            except ApiFailureError as error:
                attempts -= 1
                if error.code != 409 or not attempts:
                    raise

    def _take_old_items(self, stream: JsonObject, repository: str) -> _StreamPlan:
        plan, tags = _StreamPlan(), _tags(stream)
        named = [self._images[item["image"]] for tag in tags for item in tag["items"] if self._is_known(item)]
        manifests = Counter(image["metadata"]["name"] for image in named)
        blobs = Counter(blob for image in named for blob in _blobs(image))
        for tag in tags:
            kept = []
            for position, item in enumerate(tag["items"]):
                if self._is_kept(repository, tag["tag"], position, item):
                    kept.append(item)
                    continue
                plan.items += 1
                if self._deletions.in_registry and self._is_known(item):
                    plan.manifests += _released(manifests, [item["image"]])
                    plan.layers += _released(blobs, _blobs(self._images[item["image"]]))
            tag["items"] = kept
        if plan.items:
            stream["status"]["tags"] = [tag for tag in tags if tag["items"]]
        return plan

    def _is_known(self, item: JsonObject) -> bool:
        return item["image"] in self._images

    def _is_kept(self, repository: str, tag: str, position: int, item: JsonObject) -> bool:
        if datetime.fromisoformat(item["created"]) > self._retention.since:
            return True
        if position == 0 and f"{repository}:{tag}" in self._usage.tags:
            return True
        if not self._is_known(item):
            # Deleted by hand, or never seen: the record is of no use any more.
            revision = f"imagestream {repository}: tag {tag}: revision {position + 1}"
            print(f"{revision}: image {item['image']} not found, deleting...", file=sys.stderr)
            return False
        return position < self._retention.tag_revisions or f"{repository}@{item['image']}" in self._usage.images

    def _is_retained(self, image: JsonObject) -> bool:
        managed = (image["metadata"].get("annotations") or {}).get(MANAGED_ANNOTATION) == "true"
        return (not self._retention.all_images and not managed) or created_at(image) > self._retention.since

    def _prune_image(self, image: JsonObject, blobs: Counter[str]) -> None:
        name = image["metadata"]["name"]
        deleted = []
        if self._deletions.in_registry:
            released = _released(blobs, list(_blobs_and_manifest(image)))
            deleted = [self._deletions.blob(name, blob) for blob in released]
        if any(deleted) or all(deleted):
            self._deletions.image(name)

    def _interrupt(self, images: Iterable[JsonObject]) -> None:
        for image in images:
            self._deletions.blob(image["metadata"]["name"], image["metadata"]["name"])
            self._deletions.image(image["metadata"]["name"])
        raise InterruptedPruneError


def _tags(stream: JsonObject) -> list[JsonObject]:
    return [{**tag, "items": tag.get("items") or []} for tag in stream.get("status", {}).get("tags") or []]


def _blobs(image: JsonObject) -> list[str]:
    """Layers, and the config if the Image's media type says that there is one."""
    blobs = [layer["name"] for layer in image.get("dockerImageLayers") or []]
    config = (image.get("dockerImageMetadata") or {}).get("Id")
    if image.get("dockerImageManifestMediaType") in IMAGE_MANIFESTS and config:
        blobs.append(config)
    return blobs


def _blobs_and_manifest(image: JsonObject) -> Iterator[str]:
    yield from _blobs(image)
    yield image["metadata"]["name"]


def _released(counts: Counter[str], digests: Iterable[str]) -> list[str]:
    """Count one user less of each digest; those that have no user left."""
    released = []
    for digest in digests:
        counts[digest] -= 1
        if counts[digest] == 0:
            released.append(digest)
    return released
