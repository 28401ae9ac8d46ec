"""The rules of a verdict, one small function each: it says why it speaks up, or None (pure).

``RULES`` has the order in which they are asked: first what can never be right and what is implausibly large, then what
makes a delete not worth it, then what speaks against this one.

A further ceiling: a rule here, its name and its limit in ``evidence.py``, its default in ``CeilingSettings``
(``settings/ceilings.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from include.registry_prune.units import format_count, format_size
from include.registry_prune.verdict.evidence import Ceiling, Evidence, Mode
from include.registry_prune.verdict.references import shown_names

MEDIAN_FLOOR = 100
"""A smaller median counts as this: after a quiet week, any day with a release would be a great multiple."""


class Action(StrEnum):
    """What a verdict asks for."""

    SKIP = "skip"
    PRUNE = "prune"
    STOP = "stop"


@dataclass(frozen=True)
class Rule:
    """One reason not to prune.

    :param speaks: returns why, with the figures and what to do; None if the rule does not apply.
    :param action: what it asks for.
    :param ceiling: the name by which a person lets a run pass it; None: nobody can.
    """

    speaks: Callable[[Evidence], str | None]
    action: Action
    ceiling: Ceiling | None = None

    @property
    def name(self) -> str:
        """The function's name."""
        return self.speaks.__name__


def pruner_failed(evidence: Evidence) -> str | None:
    """Exit status 0 *and* a summary, or the pruner's figures mean nothing: on an error it prints zeros."""
    return evidence.dry_run.problem() if evidence.dry_run else None


def no_images(evidence: Evidence) -> str | None:
    """Never to be passed: with an empty list every blob is an orphan, and nothing tells a right one from a wrong one.

    Who really wants to empty a registry deletes its storage.
    """
    if evidence.images.images:
        return None
    return (
        "the cluster has no Image objects at all, so the pruner takes every blob for an orphan. Is this the right "
        "cluster, and is its etcd whole? If etcd was restored from a backup, it lacks the Images that were pushed "
        "since: restore a newer backup, or push those images again, before anything is pruned"
    )


def summary_differs(evidence: Evidence) -> str | None:
    """What the pruner says and what it lists must be the same: the list is what the audit looks at."""
    run = evidence.dry_run
    if run is None or not run.complete or run.said is None or run.counted_blobs == run.said.blobs:
        return None
    return (
        f"the dry run's summary says {run.said.blobs:,} blobs but its log lists {run.counted_blobs:,}: nobody knows "
        "for certain what a delete would take. Trigger a new run"
    )


def list_incomplete(evidence: Evidence) -> str | None:
    """An audit of a part of the list says nothing about the rest."""
    run = evidence.dry_run
    if run is None or not run.complete or evidence.images.candidates == run.counted_blobs:
        return None
    return (
        f"the dry run listed {format_count(run.counted_blobs, 'blob')} but the kept list has "
        f"{evidence.images.candidates:,}, so not every candidate could be held against the Images. Is the folder of "
        f"the artifacts full, or did somebody change {run.artifact}? Trigger a new run"
    )


def candidate_in_use(evidence: Evidence) -> str | None:
    """Never to be passed: a blob would be deleted that an image needs."""
    images = evidence.images
    if not images.hit_count:
        return None
    hits = "; ".join(hit.text() for hit in images.hits)
    more = images.hit_count - len(images.hits)
    return (
        f"{format_count(images.hit_count, 'candidate')} of the dry run would be deleted although an Image names it: "
        + hits
        + (f"; and {more:,} more" if more else "")
    )


def repository_in_use(evidence: Evidence) -> str | None:
    """Never to be passed: the pruner did not find image streams that are there."""
    streams = evidence.streams
    if not streams.in_use_count:
        return None
    names = shown_names(streams.in_use, streams.in_use_count)
    return (
        f"{format_count(streams.in_use_count, 'repository')} would be removed although the image stream is there: "
        f"{names}. The API server told the pruner that they do not exist: was it (openshift-apiserver, etcd) in "
        "trouble during the dry run, or may the registry's account not read them? Trigger a new run when it is well"
    )


def missing_storage(evidence: Evidence) -> str | None:
    """The pruner only warns, and exits 0."""
    if evidence.dry_run is None or not evidence.dry_run.missing_storage:
        return None
    return (
        "the pruner found no repositories in the registry's storage: is it mounted, and is it the right one? "
        "Only a registry that nobody ever pushed to looks the same"
    )


def orphan_share(evidence: Evidence) -> str | None:
    """The wrong storage or lost Images look like a great deal of garbage."""
    run, limit = evidence.dry_run, evidence.limits.orphan_share
    if run is None or run.said is None or not run.said.blobs:
        return None
    share = run.said.blobs / evidence.stored_blobs
    if share <= limit:
        return None
    return (
        f"the dry run found {format_count(run.said.blobs, 'orphaned blob')}, {share:.1%} of about "
        f"{evidence.stored_blobs:,} in the registry, more than {limit:.0%}: are Images missing (etcd restored from a "
        "backup?), or does another cluster use this storage too? It is normal for a registry that takes many pushes "
        "and was never hard-pruned"
    )


def removed_repositories(evidence: Evidence) -> str | None:
    """An image stream that the pruner does not find costs the whole repository."""
    streams, limit = evidence.streams, evidence.limits.removed_repositories
    counted = evidence.dry_run.counted_repositories if evidence.dry_run else 0
    count = max(streams.repositories, counted)
    if count <= limit:
        return None
    return (
        f"{format_count(count, 'repository')} would be removed because their image streams are gone, more than "
        f"{limit:,}: {shown_names(streams.shown, count)}. Were those projects really deleted? If not, restore "
        "their image streams first"
    )


def earlier_runs(evidence: Evidence) -> str | None:
    """A sudden jump wants an explanation."""
    run, median = evidence.dry_run, evidence.history.median_orphans
    if run is None or run.said is None or median is None:
        return None
    limit = evidence.limits.earlier_runs * max(median, MEDIAN_FLOOR)
    if run.said.blobs <= limit:
        return None
    return (
        f"the dry run found {format_count(run.said.blobs, 'orphaned blob')}, more than "
        f"{evidence.limits.earlier_runs:g} times what earlier runs found (median {median:,.0f} of "
        f"{format_count(len(evidence.history.runs), 'run')}): what was deleted in the cluster since the last run?"
    )


def untyped_images(evidence: Evidence) -> str | None:
    """The config blob of such an Image is taken for an orphan: now, or as soon as it is stored here."""
    images, limit = evidence.images, evidence.limits.untyped_images
    if images.untyped_count <= limit:
        return None
    again = "push or import it again"
    shown = "; ".join(f"{image.text()}, repair: {image.repair or again}" for image in images.untyped)
    more = images.untyped_count - len(images.untyped)
    return (
        "dockerImageManifestMediaType, or the config's digest in dockerImageMetadata, is empty in "
        f"{format_count(images.untyped_count, 'Image')}, more than {limit:,}; the pruner deletes the config of such an "
        f"image: {shown}" + (f"; and {more:,} more" if more else "")
    )


def other_cluster(evidence: Evidence) -> str | None:
    """A connection that was pointed to another cluster prunes that one."""
    before = evidence.history.cluster_id
    if before is None or not evidence.cluster_id or before == evidence.cluster_id:
        return None
    return (
        f"{evidence.server} is another cluster than that of the runs before: the clusterID of its ClusterVersion is "
        f"{evidence.cluster_id}, theirs was {before}. Does the Airflow connection lead to the right cluster? Only a "
        "cluster that was installed anew looks the same"
    )


def renewed_images(evidence: Evidence) -> str | None:
    """A cluster whose Images were lost, and which has been pushed to since: what is left in the storage of the lost
    ones looks like garbage. Base images and released ones stay in a cluster, so not all Images are new after a day.
    What a run saw on another cluster says nothing of this one."""
    before, oldest = evidence.history.images_seen_at, evidence.images.oldest_at
    if before is None or oldest is None or oldest < before or other_cluster(evidence):
        return None
    return (
        f"every one of the {format_count(evidence.images.images, 'Image')} is younger than the last run, which ended "
        f"at {before:%Y-%m-%d %H:%M} UTC: the Images that it saw are gone, and their blobs look like orphans. Was etcd "
        "restored, or were image streams deleted? Restore them, or push those images again, before anything is pruned"
    )


def never(evidence: Evidence) -> str | None:
    """As asked."""
    return "hard_prune is set to never" if evidence.mode is Mode.NEVER else None


def no_orphans(evidence: Evidence) -> str | None:
    """Manifest links and empty repositories are no garbage that is worth a window."""
    run = evidence.dry_run
    if run is None or run.orphans is None or run.orphans:
        return None
    links = run.counted_manifest_links
    return "no orphaned blobs" + (
        f" ({format_count(links, 'manifest link')} listed, which free nothing)" if links else ""
    )


def below_thresholds(evidence: Evidence) -> str | None:
    """Either threshold is enough; ``force`` asks for neither. What a slice left is deleted without them, too."""
    run, thresholds = evidence.dry_run, evidence.thresholds
    if run is None or run.said is None or evidence.mode is Mode.FORCE or evidence.history.left_blobs:
        return None
    reached = run.said.blobs >= thresholds.min_blobs or run.said.rounded_bytes >= thresholds.min_bytes
    return None if reached else found(evidence)


def dry_run_only(evidence: Evidence) -> str | None:
    """As asked, once nothing else speaks against it."""
    if not evidence.dry_run_only:
        return None
    return (
        f"{found(evidence)}; a run without dry_run_only would prune now" if evidence.dry_run else "nothing is deleted"
    )


RULES: tuple[Rule, ...] = (
    Rule(pruner_failed, Action.STOP),
    Rule(no_images, Action.STOP),
    Rule(summary_differs, Action.STOP),
    Rule(list_incomplete, Action.STOP),
    Rule(candidate_in_use, Action.STOP),
    Rule(repository_in_use, Action.STOP),
    Rule(other_cluster, Action.STOP, Ceiling.OTHER_CLUSTER),
    Rule(renewed_images, Action.STOP, Ceiling.RENEWED_IMAGES),
    Rule(missing_storage, Action.STOP, Ceiling.MISSING_STORAGE),
    Rule(orphan_share, Action.STOP, Ceiling.ORPHAN_SHARE),
    Rule(removed_repositories, Action.STOP, Ceiling.REMOVED_REPOSITORIES),
    Rule(earlier_runs, Action.STOP, Ceiling.EARLIER_RUNS),
    Rule(untyped_images, Action.STOP, Ceiling.UNTYPED_IMAGES),
    Rule(never, Action.SKIP),
    Rule(no_orphans, Action.SKIP),
    Rule(below_thresholds, Action.SKIP),
    Rule(dry_run_only, Action.SKIP),
)


def found(evidence: Evidence) -> str:
    """What the dry run found, beside the thresholds: the reason for a delete, or against one."""
    run, thresholds = evidence.dry_run, evidence.thresholds
    if run is None or run.said is None:
        return "the survey is switched off: the dry run in the window decides"
    blobs, size = format_count(run.said.blobs, "orphaned blob"), f"about {format_size(run.said.rounded_bytes)}"
    if evidence.mode is Mode.FORCE:
        return f"{blobs}, {size}; hard_prune is set to force, thresholds ignored"
    if evidence.history.left_blobs:
        return f"{blobs}, {size}; the last delete was a slice and left {evidence.history.left_blobs:,}, this goes on"
    enough_blobs = run.said.blobs >= thresholds.min_blobs
    enough_bytes = run.said.rounded_bytes >= thresholds.min_bytes
    joint = "and" if enough_blobs == enough_bytes else "but"
    return (
        f"{blobs} {'≥' if enough_blobs else '<'} {thresholds.min_blobs:,} {joint} "
        f"{size} {'≥' if enough_bytes else '<'} {format_size(thresholds.min_bytes)}"
    )
