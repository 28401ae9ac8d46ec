"""Orphaned blobs, each with the traces that its cause leaves in storage and API.

The five causes are those of the OpenShift documentation (hard pruning the registry, section 14.7).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sandbox.registry.objects import TagItem, api_time, image_stream_object
from sandbox.registry.seed.inventory import OrphanCount
from sandbox.registry.seed.seed_sink import PROJECTS, SeedSink
from sandbox.registry.storage.images import Blob, Image, ImageBuilder, ManifestFormat


class Cause(StrEnum):
    """Why blobs are orphans, in the documentation's order."""

    DELETED_IMAGE = "deleted-image"
    """``oc delete image``: gone from etcd, not from the storage."""
    FAILED_PUSH = "failed-push"
    """Layers were uploaded, the manifest never was."""
    QUOTA_REJECTED = "quota-rejected"
    """The manifest is in the storage too, but the Image was refused because of a quota."""
    INTERRUPTED_PRUNE = "interrupted-prune"
    """The base prune took the manifest and the links, and ended before it took the blobs."""
    PRUNER_BUG = "pruner-bug"
    """The base prune took the Image and the image stream, and left everything in the storage."""


_SMALLEST, _LARGEST = 3, 8
_IMAGES_A_REPOSITORY = 25
_PARTIAL_UPLOAD = 500
_WITH_MANIFEST = (Cause.DELETED_IMAGE, Cause.QUOTA_REJECTED, Cause.PRUNER_BUG)


class OrphanSeeder:
    """Makes the orphans of one run of ``seed``.

    :param base: gives layers that needed images have: an orphaned image shares them and does not count them.
    :param now: all ages count from here.
    """

    def __init__(
        self, sink: SeedSink, builder: ImageBuilder, base: Callable[[], tuple[Blob, ...]], now: datetime
    ) -> None:
        self._sink = sink
        self._builder = builder
        self._base = base
        self._now = now
        self._bytes_left = 0
        self._layers_left = 0
        self._count = OrphanCount()

    def seed(self, blobs: int, size: int, causes: Sequence[Cause]) -> None:
        """Make orphaned blobs, spread evenly over the causes.

        :param blobs: how many, exactly.
        :param size: their bytes in all, met as nearly as configs and manifests allow.
        """
        share, more = divmod(blobs, len(causes))
        groups = {cause: list(self._groups(share + (1 if place < more else 0))) for place, cause in enumerate(causes)}
        self._bytes_left = size
        self._layers_left = sum(_layers(cause, group) for cause, sizes in groups.items() for group in sizes)
        for cause, sizes in groups.items():
            self._count = self._sink.inventory.orphans.setdefault(cause.value, OrphanCount())
            for start in range(0, len(sizes), _IMAGES_A_REPOSITORY):
                number = start // _IMAGES_A_REPOSITORY
                self._seed_repository(cause, number, sizes[start : start + _IMAGES_A_REPOSITORY])

    def _groups(self, blobs: int) -> Iterator[int]:
        """How many orphaned blobs each image has."""
        while blobs > 0:
            group = min(blobs, self._builder.random.randint(_SMALLEST, _LARGEST))
            yield group
            blobs -= group

    def _seed_repository(self, cause: Cause, number: int, groups: list[int]) -> None:
        namespace = self._sink.namespace(PROJECTS[number % len(PROJECTS)])
        name = f"{cause.value}-{number}"
        repository = f"{namespace}/{name}"
        tags: dict[str, list[TagItem]] = {}
        for place, blobs in enumerate(groups):
            if cause not in _WITH_MANIFEST:
                self._seed_loose_blobs(cause, repository, blobs)
                continue
            image = self._image(blobs)
            self._builder.link(repository, image)
            if cause is Cause.DELETED_IMAGE:
                pushed = self._now - timedelta(days=3, hours=place)
                tags[f"v{place}"] = [TagItem(image.manifest.digest, repository, pushed)]
        if cause is Cause.FAILED_PUSH:
            self._leave_upload(repository)
        elif cause is not Cause.PRUNER_BUG:
            created = self._now - timedelta(days=30)
            self._sink.create_stream(image_stream_object(namespace, name, tags, created))

    def _image(self, blobs: int) -> Image:
        """An image of which that many blobs belong to no other: manifest, config, then layers."""
        own = [self._layer() for _ in range(max(blobs - 2, 0))]
        layers = [*self._base(), *own]
        manifest_format = ManifestFormat.OCI
        if blobs == 1:
            # Only the manifest is its own: an image that was tagged again with another annotation.
            config = Blob(layers[0].digest, layers[0].size) if layers else self._absent_config()
        else:
            config = self._config(layers)
            manifest_format = self._builder.random.choice(list(ManifestFormat))
        image = self._builder.image(layers, manifest_format, config=config)
        self._counted(image.manifest)
        return image

    def _seed_loose_blobs(self, cause: Cause, repository: str, blobs: int) -> None:
        """Layers and, after them, a config, without a manifest."""
        layers = [self._layer() for _ in range(_layers(cause, blobs))]
        orphans = [*layers, *((self._config(layers),) if blobs > 1 else ())]
        storage = self._builder.storage
        linked = [*self._base(), *orphans]
        for blob in linked:
            storage.link_layer(repository, blob.digest)
        if cause is Cause.INTERRUPTED_PRUNE:
            # Taking a link away leaves its folder.
            manifest = f"sha256:{self._builder.random.randbytes(32).hex()}"
            storage.link_manifest(repository, manifest)
            storage.unlink_manifest(repository, manifest)
            for blob in linked:
                storage.unlink_layer(repository, blob.digest)

    def _leave_upload(self, repository: str) -> None:
        identifier = uuid.UUID(int=self._builder.random.getrandbits(128), version=4)
        content = self._builder.random.randbytes(_PARTIAL_UPLOAD)
        started = api_time(self._now - timedelta(days=2))
        self._builder.storage.leave_upload(repository, str(identifier), content, started)

    def _layer(self) -> Blob:
        average = self._bytes_left / max(self._layers_left, 1)
        last = self._layers_left <= 1
        size = average if last else average * self._builder.random.uniform(0.5, 1.5)
        self._layers_left -= 1
        return self._counted(self._builder.layer(int(size)))

    def _config(self, layers: Sequence[Blob]) -> Blob:
        return self._counted(self._builder.config(layers))

    def _absent_config(self) -> Blob:
        return Blob(f"sha256:{self._builder.random.randbytes(32).hex()}", 2)

    def _counted(self, blob: Blob) -> Blob:
        self._bytes_left = max(self._bytes_left - blob.size, 0)
        self._count.add(blob.size)
        return blob


def _layers(cause: Cause, blobs: int) -> int:
    """How many of an image's orphaned blobs are layers: the others are its manifest and its config."""
    if cause in _WITH_MANIFEST:
        return max(blobs - 2, 0)
    return max(blobs - 1, 1)
