"""What the cluster's Images name: the audit of the candidates (pure).

The real pruner was seen deleting the config blob of an image in use, with exit status 0 and an integrity check
that found nothing. So no candidate may be a digest that any Image names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal

from include.registry_prune.records import Record
from include.registry_prune.units import format_count

KEPT_HITS = 20
"""So many hits are named; all are counted."""


class Hit(Record):
    """A candidate that an Image names."""

    digest: str
    role: str
    image: str
    reference: str


class ReferenceAudit(Record):
    """The candidates of a dry run held against every digest that an Image names."""

    version: Literal[1] = 1
    candidates: int
    images: int
    hits: tuple[Hit, ...] = ()
    hit_count: int = 0

    def problems(self) -> list[str]:
        """Why nothing may be deleted, in words with what to do; empty if no candidate is named."""
        problems = []
        if self.hit_count:
            problems.append(
                f"{format_count(self.hit_count, 'candidate')} of the dry run would go although an Image names it"
            )
        problems += [
            f"{hit.digest} is the {hit.role} of Image {hit.image} ({hit.reference}); an Image object with an empty "
            "dockerImageManifestMediaType does this: import or push that image again, or delete the Image if nobody "
            "needs it"
            for hit in self.hits
        ]
        return problems


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


def audit(candidates: Collection[str], images: Iterable[Mapping[str, Any]]) -> ReferenceAudit:
    """Hold the candidates against what the Images name.

    :param candidates: digests (``sha256:…``) that the dry run would delete; membership must be quick (a set).
    :param images: every Image object of the cluster, as JSON; read once.
    """
    hits: list[Hit] = []
    hit_digests: set[str] = set()
    image_count = 0
    for image in images:
        image_count += 1
        for digest, role in named_digests(image):
            if digest in candidates and digest not in hit_digests:
                hit_digests.add(digest)
                if len(hits) < KEPT_HITS:
                    hits.append(
                        Hit(
                            digest=digest,
                            role=role,
                            image=image["metadata"]["name"],
                            reference=image.get("dockerImageReference") or "no reference",
                        )
                    )
    return ReferenceAudit(candidates=len(candidates), images=image_count, hits=tuple(hits), hit_count=len(hit_digests))
