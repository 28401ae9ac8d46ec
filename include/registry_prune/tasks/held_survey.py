"""A dry run's list, held against what the cluster's Images and image streams name now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.records import WindowRecord
from include.registry_prune.verdict.references import ReferenceAudit, StreamAudit, audit, audit_streams

if TYPE_CHECKING:
    from include.registry_prune.tasks.run_context import Run

HELD = "held"
"""The XCom in which ``dry_run`` hands over what it held the survey's list against, so that the gate need not ask the
cluster for all of it once more."""


class Held(WindowRecord):
    """What was found.

    :param images: the Images, with the blobs of the list held against them; ``streams``: likewise the repositories.
    """

    version: Literal[1] = 1
    images: ReferenceAudit
    streams: StreamAudit


class Revived(NamedTuple):
    """What the list has, and somebody needs again: it came to be named while pushes were taken.

    :param blobs: digests, 32 bytes each; ``repositories``: ``NS/NAME``.
    """

    blobs: set[bytes]
    repositories: set[str]

    def __bool__(self) -> bool:
        return bool(self.blobs or self.repositories)


def hold(run: Run, artifact: str | None, *, older_than: datetime | None) -> tuple[Held, Revived]:
    """Hold a list against the cluster.

    :param artifact: the list; None: only the Images are looked at.
    :param older_than: Images and image streams that were made later revive what they name; None: nothing is revived.
    :raises OSError: if the list cannot be read.
    :raises MalformedObjectError: if an Image or image stream cannot be read.
    """
    from include.registry_prune.lists.artifacts import candidate_digests, read_candidates

    revived = Revived(set(), set())
    digests = candidate_digests(artifact) if artifact else set()
    images = audit(digests, run.cluster.images(), older_than=older_than, revived=revived.blobs)
    repositories = set(read_candidates(artifact, kind=LineKind.REPOSITORY)) if artifact else set()
    named = images.named_images()
    streams = audit_streams(
        repositories,
        run.cluster.image_streams() if repositories or named else (),
        images=named,
        older_than=older_than,
        revived=revived.repositories,
    )
    return Held(images=images.with_tags(streams.tags), streams=streams), revived
