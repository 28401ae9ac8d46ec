"""The tripwire: what a delete names is held against what Images name now, while it works (pure).

The gate held the dry run's list against the Images of its moment; the pruner makes a list of its own from the Images of
another moment, and knows less of them: an Image that has lost its media type in between, or is gone from the API for a
moment, loses its blobs although nothing that was audited says so. So every blob that the pruner names is looked up
among the digests that Images name, and every new or changed Image among the blobs that were named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from include.registry_prune.lists.digests import SHORT_BYTES, DigestIndex, DigestSet
from include.registry_prune.records import Record
from include.registry_prune.units import format_count
from include.registry_prune.verdict.references import (
    Hit,
    MalformedObjectError,
    ReferenceAudit,
    digest_bytes,
    named_digests,
)

NAMED_IMAGES = 5
"""At most this many of the Images that name a blob are listed."""


class Trip(NamedTuple):
    """A blob that the pruner has named, and that Images name.

    :param blob: ``sha256:…``.
    :param images: names of the first few Images.
    """

    blob: str
    images: tuple[str, ...]

    def text(self) -> str:
        """What has happened, in one line."""
        return f"the pruner names {self.blob}, and Image {', '.join(self.images)} names it, too"


class Tripped(Record):
    """Why the tripwire ended a delete.

    :param blob: that the pruner has named, and has deleted by now.
    :param images: Images that named it then.
    :param hits: the same with what is known of each: role, tags, repair; where the cluster told it.
    """

    version: Literal[1] = 1
    blob: str
    images: tuple[str, ...]
    hits: tuple[Hit, ...] = ()

    @classmethod
    def of(cls, trip: Trip, known: ReferenceAudit | None = None) -> Tripped:
        """The evidence for a trip.

        :param known: of its Images, as they are now.
        """
        return cls(blob=trip.blob, images=trip.images, hits=known.hits if known else ())

    def text(self) -> str:
        """For the loudest alert: what is lost, what was done, and what to do."""
        known = "; ".join(hit.text() for hit in self.hits) or (
            f"{self.blob} is named by {format_count(len(self.images), 'Image')}: {', '.join(self.images)}. The cluster "
            "did not tell what it is to them, nor which tags lead to them (oc get image)"
        )
        return (
            f"THE DELETE WAS AT WORK ON A BLOB THAT AN IMAGE NAMES: {known}. The pruner was ended at once, and the "
            "window is closed. That blob is gone, and perhaps others that the pruner named just before its end "
            "(integrity_after and reconcile show them): push or import that image again. Pause this DAG until you "
            "know why the pruner took the blob for an orphan"
        )


class ImageNames:
    """The digests that Images name, with the Images; about 200 bytes for each Image, and 15 for each digest of its."""

    def __init__(self) -> None:
        self._index = DigestIndex()
        self._names: list[str | None] = []
        self._gone = 0

    def add(self, image: Mapping[str, Any]) -> list[bytes]:
        """Take an Image, in place of what was known of it.

        :return: the digests that it names.
        :raises MalformedObjectError: if it cannot be read.
        """
        try:
            name = str(image["metadata"]["name"])
            found = {digest_bytes(digest) for digest, _ in named_digests(image)}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MalformedObjectError(
                f"An Image object cannot be read ({type(error).__name__}: {error}), so what it names is unknown: "
                f"{str(image)[:200]}"
            ) from error
        self.remove(name)
        number = len(self._names)
        self._names.append(name)
        digests = [digest for digest in found if digest is not None]
        for digest in digests:
            self._index.add(digest, number)
        return digests

    def remove(self, name: str) -> None:
        """An Image is gone, or another one of its name comes."""
        own = digest_bytes(name)
        # An Image's name is the first digest that it names.
        numbers: Iterable[int] = self._index.numbers(own) if own else range(len(self._names))
        for number in [number for number in numbers if self._names[number] == name]:
            self._names[number] = None
            self._gone += 1

    def images(self, digest: bytes) -> list[str]:
        """Names of the Images that name a digest."""
        numbers = self._index.numbers(digest)
        return [name for number in numbers if (name := self._names[number]) is not None]

    @property
    def worn(self) -> bool:
        """Whether most of it is of Images that are gone or changed, so that it is better made anew."""
        return self._gone > 1000 and self._gone > len(self._names) / 2

    def __len__(self) -> int:
        return len(self._names) - self._gone


class Tripwire:
    """Holds blobs and Images against each other, in whatever order they come.

    Memory: an :class:`ImageNames`, two while the Images are listed anew, and about 20 bytes for each blob.
    """

    def __init__(self) -> None:
        self._images = ImageNames()
        self._listed: ImageNames | None = None
        self._blobs = DigestSet(kept_bytes=SHORT_BYTES)

    def blob(self, blob: str) -> Trip | None:
        """The pruner has named a blob (``sha256:…``)."""
        digest = digest_bytes(blob)
        if digest is None:
            return None
        self._blobs.add(digest)
        # While Images are listed anew, what is known of before counts as well: it is the careful side.
        images = self._images.images(digest) + (self._listed.images(digest) if self._listed else [])
        return Trip(blob, tuple(dict.fromkeys(images))[:NAMED_IMAGES]) if images else None

    def blobs(self, digests: Iterable[bytes]) -> None:
        """These blobs will be deleted, in whatever order: for a delete by a list, before any Image is known.

        :param digests: one behind the other, 32 bytes each, in blocks.
        """
        for packed in digests:
            self._blobs.add_packed(packed)

    def list_anew(self) -> None:
        """A list of all Images begins."""
        self._listed = ImageNames()

    def all_listed(self) -> None:
        """It has ended: what is not in it is gone."""
        if self._listed is not None:
            self._images, self._listed = self._listed, None

    def image(self, image: Mapping[str, Any]) -> Trip | None:
        """An Image is there, new, or changed.

        :raises MalformedObjectError: if it cannot be read.
        """
        names = self._images if self._listed is None else self._listed
        named = [digest for digest in names.add(image) if digest in self._blobs]
        return Trip(f"sha256:{named[0].hex()}", (str(image["metadata"]["name"]),)) if named else None

    def image_gone(self, name: str) -> None:
        """An Image was deleted."""
        self._images.remove(name)

    @property
    def worn(self) -> bool:
        """Whether the Images should be listed anew, so that memory stays bounded."""
        return self._images.worn

    @property
    def images(self) -> int:
        """How many Images it knows."""
        return len(self._images)
