"""What the cluster's Images and image streams name: the audit of what a dry run would delete (pure).

The real pruner was seen deleting the config blob of an image in use: with exit status 0, and its integrity check found
nothing. So no candidate may be a digest that an Image names, and no repository may go whose image stream is there.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from include.registry_prune.records import Record

KEPT_HITS = 20
"""At most this many of each kind are named; all are counted."""
KEPT_TAGS = 5
"""At most this many tags of an image are named."""
_MANAGED = "openshift.io/image.managed"
_OCI = "application/vnd.oci.image"
_DOCKER = "application/vnd.docker.distribution.manifest"
_WITH_CONFIG = (f"{_DOCKER}.v2+json", f"{_OCI}.manifest.v1+json")


class MalformedObjectError(ValueError):
    """An Image or image stream is not as the API documents it, so that nobody can say what it names."""


class NamedImage(Record):
    """An Image as a message names it.

    :param reference: ``dockerImageReference``: host, repository, digest.
    :param repair: the command that gives it its missing media type; empty if it has one.
    :param tags: image stream tags that lead to it, ``NS/NAME:TAG``.
    """

    name: str
    reference: str
    repair: str = ""
    tags: tuple[str, ...] = ()

    def text(self) -> str:
        """Name, tags and reference."""
        tags = f"tags {', '.join(self.tags)}; " if self.tags else ""
        return f"Image {self.name} ({tags}{self.reference})"


class Hit(Record):
    """A candidate that an Image names."""

    digest: str
    role: str
    image: NamedImage

    def text(self) -> str:
        """What would be lost, and how it is repaired."""
        cause = (
            f"its dockerImageManifestMediaType is empty, so the pruner does not know its config. Repair it: "
            f"{self.image.repair}"
            if self.image.repair
            else "push or import that image again, or delete the Image if nobody needs it"
        )
        return f"{self.digest} is the {self.role} of {self.image.text()}: {cause}"


class ReferenceAudit(Record):
    """The Images of a cluster, and the candidates of a dry run held against every digest that they name.

    :param candidates: blobs that were held against them.
    :param older_images: of the Images, those that were there when the dry run began.
    :param oldest_at: when the oldest Image was made; None: there is none.
    :param revived_count: candidates that only younger Images name: they are needed again.
    :param stored_references: distinct digests that Images name which were pushed to this registry.
    :param untyped_count: Images of whose config nobody can know: ``dockerImageManifestMediaType`` is empty, or their
        manifest has a config and ``dockerImageMetadata`` has no ``Id``. The pruner takes it for an orphan.
    """

    version: Literal[1] = 1
    candidates: int = Field(ge=0)
    images: int = Field(ge=0)
    older_images: int = Field(default=0, ge=0)
    oldest_at: AwareDatetime | None = None
    revived_count: int = Field(default=0, ge=0)
    stored_references: int = Field(default=0, ge=0)
    untyped: tuple[NamedImage, ...] = ()
    untyped_count: int = Field(default=0, ge=0)
    hits: tuple[Hit, ...] = ()
    hit_count: int = Field(default=0, ge=0)

    def named_images(self) -> set[str]:
        """Names of the Images that a message will name."""
        return {image.name for image in (*self.untyped, *(hit.image for hit in self.hits))}

    def with_tags(self, tags: Mapping[str, tuple[str, ...]]) -> ReferenceAudit:
        """The same audit with the tags that lead to its Images.

        :param tags: by name of the Image.
        """

        def tagged(image: NamedImage) -> NamedImage:
            return image.model_copy(update={"tags": tags.get(image.name, ())})

        hits = tuple(hit.model_copy(update={"image": tagged(hit.image)}) for hit in self.hits)
        return self.model_copy(update={"hits": hits, "untyped": tuple(map(tagged, self.untyped))})


class StreamAudit(Record):
    """The repositories that a dry run would remove, held against the image streams that there are.

    :param repositories: that would be removed.
    :param shown: some of them, by name.
    :param in_use: of these, some whose image stream is there after all.
    :param tags: image stream tags by Image, for those that were asked for.
    """

    version: Literal[1] = 1
    repositories: int = Field(ge=0)
    shown: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()
    in_use_count: int = Field(default=0, ge=0)
    tags: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def named_digests(image: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every digest that an Image object names, with its role: itself, config, layers, child manifests."""
    yield image["metadata"]["name"], "manifest"
    config = (image.get("dockerImageMetadata") or {}).get("Id")
    if config:
        yield config, "config"
    for layer in image.get("dockerImageLayers") or ():
        if layer.get("name"):
            yield layer["name"], "layer"
    for child in image.get("dockerImageManifests") or ():
        if child.get("digest"):
            yield child["digest"], "child manifest"


def digest_bytes(digest: str) -> bytes | None:
    """The 32 bytes of a SHA-256 digest (``sha256:…``, or the bare hexadecimal digits); None for anything else."""
    algorithm, _, digits = digest.rpartition(":")
    if algorithm not in ("sha256", "") or len(digits) != 64:
        return None
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        return None
    return value if len(value) == 32 else None


def audit(
    candidates: Collection[bytes],
    images: Iterable[Mapping[str, Any]],
    *,
    older_than: datetime | None = None,
    revived: set[bytes] | None = None,
) -> ReferenceAudit:
    """Hold the candidates against what the Images name.

    :param candidates: digests that the dry run would delete, 32 bytes each; membership must be quick (a set).
    :param images: every Image object of the cluster, as JSON; read once.
    :param older_than: Images made later do not contradict the dry run: while the registry takes pushes, a layer is an
        orphan until its image is complete. None: all do.
    :param revived: gets the candidates that only later Images name.
    :raises MalformedObjectError: if an Image cannot be read.
    """
    reader = _Audit(candidates, older_than, set() if revived is None else revived)
    for image in images:
        try:
            reader.take(image)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MalformedObjectError(
                f"An Image object cannot be read ({type(error).__name__}: {error}), so nobody knows what it names: "
                f"{str(image)[:200]}"
            ) from error
    return reader.result()


class _Audit:
    """Takes one Image after the other."""

    def __init__(self, candidates: Collection[bytes], older_than: datetime | None, revived: set[bytes]) -> None:
        self._candidates = candidates
        self._older_than = older_than
        self._revived = revived
        self._images = self._older = 0
        self._oldest = ""
        self._oldest_at: datetime | None = None
        # Seven bytes tell a million digests apart (but for one time in 100,000) in a third of the memory.
        self._stored: set[int] = set()
        self._untyped: list[NamedImage] = []
        self._untyped_count = 0
        self._hits: dict[bytes, Hit | None] = {}

    def take(self, image: Mapping[str, Any]) -> None:
        self._images += 1
        young = is_young(image, self._older_than)
        self._older += not young
        made = image["metadata"].get("creationTimestamp")
        # The API server writes all of them in one form, so the smallest text is the earliest time.
        if made and (not self._oldest or made < self._oldest):
            self._oldest, self._oldest_at = made, datetime.fromisoformat(made)
        managed = (image["metadata"].get("annotations") or {}).get(_MANAGED) == "true"
        if not _has_known_config(image):
            self._untyped_count += 1
            if len(self._untyped) < KEPT_HITS:
                self._untyped.append(_named(image))
        for digest, role in named_digests(image):
            value = digest_bytes(digest)
            if value is None:
                continue
            if managed:
                self._stored.add(int.from_bytes(value[:7]))
            if value not in self._candidates:
                continue
            if young:
                self._revived.add(value)
            elif value not in self._hits:
                kept = len(self._hits) < KEPT_HITS
                self._hits[value] = Hit(digest=digest, role=role, image=_named(image)) if kept else None

    def result(self) -> ReferenceAudit:
        # What an older Image names too is no revival: the pruner was wrong about it.
        self._revived.difference_update(self._hits)
        return ReferenceAudit(
            candidates=len(self._candidates),
            images=self._images,
            older_images=self._older,
            oldest_at=self._oldest_at,
            revived_count=len(self._revived),
            stored_references=len(self._stored),
            untyped=tuple(self._untyped),
            untyped_count=self._untyped_count,
            hits=tuple(hit for hit in self._hits.values() if hit),
            hit_count=len(self._hits),
        )


def _has_known_config(image: Mapping[str, Any]) -> bool:
    """Whether the pruner, and this audit, can know the config of an Image; an index has none."""
    media_type = image.get("dockerImageManifestMediaType")
    if media_type in _WITH_CONFIG:
        return bool((image.get("dockerImageMetadata") or {}).get("Id"))
    return bool(media_type)


def is_young(item: Mapping[str, Any], older_than: datetime | None) -> bool:
    """Whether an Image or image stream was made then or later; None: no one was."""
    return older_than is not None and datetime.fromisoformat(item["metadata"]["creationTimestamp"]) >= older_than


def _named(image: Mapping[str, Any]) -> NamedImage:
    name = image["metadata"]["name"]
    repair = ""
    if not image.get("dockerImageManifestMediaType"):
        patch = f'{{"dockerImageManifestMediaType":"{_media_type(image)}"}}'
        repair = f"oc patch image {shlex.quote(name)} --type=merge -p '{patch}'"
    return NamedImage(name=name, reference=image.get("dockerImageReference") or "no reference", repair=repair)


def _media_type(image: Mapping[str, Any]) -> str:
    """What the manifest's media type must be, by those of its parts."""
    children = image.get("dockerImageManifests") or ()
    parts = [str(part.get("mediaType")) for part in (*children, *(image.get("dockerImageLayers") or ()))]
    if any(part.startswith(_OCI) for part in parts):
        return f"{_OCI}.index.v1+json" if children else f"{_OCI}.manifest.v1+json"
    return f"{_DOCKER}.list.v2+json" if children else f"{_DOCKER}.v2+json"


def audit_streams(
    repositories: Collection[str],
    streams: Iterable[Mapping[str, Any]],
    *,
    images: Collection[str] = (),
    older_than: datetime | None = None,
    revived: set[str] | None = None,
) -> StreamAudit:
    """Hold the repositories that would be removed against the image streams.

    :param repositories: ``NS/NAME``; membership must be quick (a set).
    :param streams: every ImageStream object of the cluster, as JSON; read once.
    :param images: names of Images whose tags are wanted.
    :param older_than: streams made later do not contradict the dry run; None: all do.
    :param revived: gets the repositories whose image stream was made later.
    :raises MalformedObjectError: if an image stream cannot be read.
    """
    in_use: list[str] = []
    in_use_count = 0
    tags: dict[str, tuple[str, ...]] = {}
    for stream in streams:
        try:
            name = f"{stream['metadata']['namespace']}/{stream['metadata']['name']}"
            for image, tag in _tags(stream):
                if image in images and len(tags.get(image, ())) < KEPT_TAGS:
                    tags[image] = (*tags.get(image, ()), f"{name}:{tag}")
            young = is_young(stream, older_than)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MalformedObjectError(
                f"An ImageStream object cannot be read ({type(error).__name__}: {error}): {str(stream)[:200]}"
            ) from error
        if name in repositories and young:
            if revived is not None:
                revived.add(name)
        elif name in repositories:
            in_use_count += 1
            in_use += [name] if len(in_use) < KEPT_HITS else []
    return StreamAudit(
        repositories=len(repositories),
        shown=tuple(sorted(repositories)[:KEPT_HITS]),
        in_use=tuple(in_use),
        in_use_count=in_use_count,
        tags=tags,
    )


def _tags(stream: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each image of the stream's status with a tag that leads to it, older revisions of the tag included."""
    for tag in (stream.get("status") or {}).get("tags") or ():
        for item in tag.get("items") or ():
            yield item["image"], tag["tag"]


def shown_names(names: tuple[str, ...], count: int) -> str:
    """Some names, and how many more there are."""
    return ", ".join(names) + (f" and {count - len(names):,} more" if count > len(names) else "")
