"""Container images in the storage: layers, configs, manifests and manifest lists whose digests are real."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sandbox.registry.storage import media_types
from sandbox.registry.storage.layout import StorageLayout

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ManifestFormat(StrEnum):
    """Which specification an image follows."""

    DOCKER = "docker"
    OCI = "oci"


@dataclass(frozen=True)
class Blob:
    """Stored content.

    :param size: bytes.
    """

    digest: str
    size: int


@dataclass(frozen=True)
class Image:
    """An image in the storage.

    :param manifest: its manifest (of a multi-architecture image: the list); its digest names the image.
    :param media_type: of the manifest.
    :param config: None for a multi-architecture image.
    :param children: the images of the architectures.
    """

    manifest: Blob
    media_type: str
    config: Blob | None = None
    layers: tuple[Blob, ...] = ()
    children: tuple[Image, ...] = ()
    architecture: str = "amd64"

    def with_children(self) -> Iterator[Image]:
        """This image and those of its architectures."""
        yield self
        for child in self.children:
            yield from child.with_children()

    def digests(self) -> Iterator[str]:
        """Every digest that a pull of this image, on any architecture, needs."""
        for image in self.with_children():
            yield image.manifest.digest
            if image.config:
                yield image.config.digest
            for layer in image.layers:
                yield layer.digest


class ImageBuilder:
    """Makes images and writes their blobs; the same seed makes the same ones.

    :param storage: takes the blobs. Links are the caller's part: see :meth:`link`.
    :param seed: of the random content.
    """

    def __init__(self, storage: StorageLayout, seed: str) -> None:
        self.storage = storage
        self.random = random.Random(seed)

    def layer(self, size: int) -> Blob:
        """A layer of random content: ``size`` bytes, but at least 16, so that no two are alike."""
        return self._write(self.random.randbytes(max(size, 16)))

    def config(self, layers: Sequence[Blob], architecture: str = "amd64") -> Blob:
        """A config for these layers; no two are alike."""
        created = _EPOCH + timedelta(seconds=self.random.randrange(20_000_000))
        return self._write_json(
            {
                "architecture": architecture,
                "os": "linux",
                "created": created.isoformat(),
                "config": {"Labels": {"vcs-ref": self.random.randbytes(20).hex()}, "Cmd": ["/bin/app"]},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
                "history": [{"created": created.isoformat(), "created_by": "COPY"} for _ in layers],
            }
        )

    def image(
        self,
        layers: Sequence[Blob],
        manifest_format: ManifestFormat = ManifestFormat.DOCKER,
        architecture: str = "amd64",
        config: Blob | None = None,
    ) -> Image:
        """An image of one architecture.

        :param config: taken as it is; None makes one.
        """
        oci = manifest_format is ManifestFormat.OCI
        config = config or self.config(layers, architecture)
        media_type = media_types.OCI_MANIFEST if oci else media_types.DOCKER_MANIFEST
        config_type = media_types.OCI_CONFIG if oci else media_types.DOCKER_CONFIG
        layer_type = media_types.OCI_LAYER if oci else media_types.DOCKER_LAYER
        content: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": _descriptor(config, config_type),
            "layers": [_descriptor(layer, layer_type) for layer in layers],
        }
        if oci:
            content["annotations"] = {"org.opencontainers.image.revision": self.random.randbytes(20).hex()}
        return Image(self._write_json(content), media_type, config, tuple(layers), (), architecture)

    def manifest_list(self, children: Sequence[Image], manifest_format: ManifestFormat) -> Image:
        """A multi-architecture image: a Docker manifest list or an OCI index."""
        oci = manifest_format is ManifestFormat.OCI
        media_type = media_types.OCI_INDEX if oci else media_types.DOCKER_MANIFEST_LIST
        manifests = [
            {
                **_descriptor(child.manifest, child.media_type),
                "platform": {"architecture": child.architecture, "os": "linux"},
            }
            for child in children
        ]
        content = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
        return Image(self._write_json(content), media_type, children=tuple(children), architecture="")

    def link(self, repository: str, image: Image) -> None:
        """Let the repository serve the image, as a push of it does."""
        for part in image.with_children():
            self.storage.link_manifest(repository, part.manifest.digest)
            for blob in (*part.layers, *((part.config,) if part.config else ())):
                self.storage.link_layer(repository, blob.digest)

    def _write_json(self, content: object) -> Blob:
        return self._write(json.dumps(content, indent=3).encode())

    def _write(self, content: bytes) -> Blob:
        return Blob(self.storage.write_blob(content), len(content))


def _descriptor(blob: Blob, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "size": blob.size, "digest": blob.digest}
