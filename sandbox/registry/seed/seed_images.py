"""Images that the cluster needs: image streams with tags, their revisions, and shared layers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sandbox.registry.objects import TagItem, image_object, image_stream_object
from sandbox.registry.seed.seed_sink import PROJECTS, SeedSink
from sandbox.registry.storage.images import Blob, Image, ImageBuilder, ManifestFormat

ARCHITECTURES = ("amd64", "arm64")

_COMPONENTS = ("frontend", "backend", "worker", "gateway", "scheduler", "importer", "mailer")
_REVISIONS = (2, 5, 1, 4, 7, 1, 3)
_FORMATS = (
    ("docker", 1), ("oci", 1), ("docker", 1), ("docker", 2), ("oci", 1),
    ("docker", 1), ("oci", 2), ("docker", 1), ("oci", 1), ("docker", 1),
)  # fmt: skip
_BASES = 8
_YOUNG = timedelta(minutes=10)


class ImageSeeder:
    """Makes the referenced images of one run of ``seed``.

    :param sink: takes objects and counts.
    :param builder: makes the blobs.
    :param now: all ages count from here.
    :param multi_architecture: all of them are lists of two architectures, not only some.
    """

    def __init__(
        self, sink: SeedSink, builder: ImageBuilder, now: datetime, *, multi_architecture: bool = False
    ) -> None:
        self._sink = sink
        self._builder = builder
        self._now = now
        self._multi_architecture = multi_architecture
        self._bases: list[tuple[Blob, ...]] = []
        self._without_media_type = 0

    def seed(self, images: int, without_media_type: int) -> None:
        """Make images that tags name.

        :param images: how many; multi-architecture ones bring their children on top.
        :param without_media_type: how many of the Images have an empty ``dockerImageManifestMediaType``.
        """
        self._without_media_type = without_media_type
        number = 0
        while images > 0:
            revisions = min(images, _REVISIONS[number % len(_REVISIONS)])
            self._seed_stream(number, revisions)
            images -= revisions
            number += 1

    def base(self) -> tuple[Blob, ...]:
        """Layers that needed images share; none if there are no such images."""
        return self._builder.random.choice(self._bases) if self._bases else ()

    def _base_of(self, number: int) -> tuple[Blob, ...]:
        """The base layers of a stream, shared with others; made when the first one needs them."""
        if number < _BASES:
            random = self._builder.random
            layers = [self._builder.layer(random.randint(1_000, 12_000)) for _ in range(random.randint(1, 3))]
            self._bases.append(tuple(layers))
        return self._bases[number % _BASES]

    def _seed_stream(self, number: int, revisions: int) -> None:
        namespace = self._sink.namespace(PROJECTS[number % len(PROJECTS)])
        name = f"{_COMPONENTS[number % len(_COMPONENTS)]}-{number}"
        repository = f"{namespace}/{name}"
        items: list[TagItem] = []
        for image, created in zip(self._images(number, revisions), self._ages(number), strict=False):
            self._builder.link(repository, image)
            self._create_objects(image, repository, created)
            items.append(TagItem(image.manifest.digest, repository, created))
        tags = {"latest": items}
        if number % 3 == 1:
            tags["stable"] = [items[min(1, len(items) - 1)]]
        self._builder.storage.link_tag(repository, "latest", items[0].digest)
        created = items[-1].created
        self._sink.create_stream(image_stream_object(namespace, name, tags, created))
        if number % 5 == 4:
            # An old revision that another stream has taken over: the base prune has to keep it.
            production, promoted = self._sink.namespace("production"), {"live": [items[-1]]}
            self._sink.create_stream(image_stream_object(production, name, promoted, created))

    def _images(self, number: int, revisions: int) -> Iterator[Image]:
        """The revisions of one stream, the newest first: all but the last layer is shared between them."""
        format_name, architectures = _FORMATS[number % len(_FORMATS)]
        if self._multi_architecture:
            architectures = len(ARCHITECTURES)
        manifest_format = ManifestFormat(format_name)
        base = self._base_of(number)
        shared = [(*base, self._own_layer()) for _ in range(architectures)]
        for _ in range(revisions):
            children = [
                self._builder.image((*layers, self._own_layer()), manifest_format, architecture)
                for layers, architecture in zip(shared, ARCHITECTURES, strict=False)
            ]
            multiple = len(children) > 1
            yield self._builder.manifest_list(children, manifest_format) if multiple else children[0]

    def _own_layer(self) -> Blob:
        return self._builder.layer(self._builder.random.randint(200, 4_000))

    def _ages(self, number: int) -> Iterator[datetime]:
        # Every fourth stream was pushed to just now: too young for the base prune.
        age = _YOUNG if number % 4 == 0 else timedelta(hours=2 + number % 50)
        while True:
            yield self._now - age
            age += timedelta(hours=self._builder.random.randint(20, 100))

    def _create_objects(self, image: Image, repository: str, created: datetime) -> None:
        for part in image.with_children():
            media_type = None
            if part.config and self._without_media_type > 0:
                self._without_media_type -= 1
                media_type = ""
            self._sink.create_image(image_object(part, repository, created, media_type=media_type))
        self._sink.inventory.needed.update(image.digests())
