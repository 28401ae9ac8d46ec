"""Thresholds and ceilings: from a dry run to a verdict with its reasons (pure)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from include.registry_prune.dockerregistry import PrunerResult
from include.registry_prune.records import Record
from include.registry_prune.references import ReferenceAudit
from include.registry_prune.units import format_count, format_size


class Action(StrEnum):
    """What a verdict asks for."""

    SKIP = "skip"
    PRUNE = "prune"
    STOP = "stop"


class Mode(StrEnum):
    """``hard_prune`` of the trigger form: on the thresholds, without them, or not at all."""

    AUTO = "auto"
    FORCE = "force"
    NEVER = "never"


class Thresholds(Record):
    """As much garbage as makes a delete worth it: either of the two is enough.

    :param min_blobs: number of orphaned blobs.
    :param min_bytes: their size in bytes.
    """

    min_blobs: int
    min_bytes: int


class Verdict(Record):
    """What to do, and why in words."""

    version: Literal[1] = 1
    action: Action
    reasons: tuple[str, ...]

    def sentence(self) -> str:
        """The verdict as one line for the log and the report."""
        return f"{'; '.join(self.reasons)}: {self.action}"


def decide(
    dry_run: PrunerResult,
    *,
    mode: Mode,
    thresholds: Thresholds,
    image_count: int,
    audit: ReferenceAudit | None = None,
) -> Verdict:
    """Judge a dry run.

    Ceilings come first and ``force`` does not go past them; then the thresholds.

    :param dry_run: of ``-prune=check``.
    :param mode: ``force`` ignores the thresholds.
    :param image_count: Image objects that the cluster has; zero makes every blob an orphan.
    :param audit: the candidates held against what the Images name; None where it is not made (the survey).
    """
    ceilings = _ceilings(dry_run, image_count, audit)
    if ceilings:
        return Verdict(action=Action.STOP, reasons=tuple(ceilings))
    if mode is Mode.NEVER:
        return Verdict(action=Action.SKIP, reasons=("hard_prune is set to never",))
    assert dry_run.said is not None
    blobs, size = dry_run.said.blobs, dry_run.said.rounded_bytes
    if blobs == 0:
        return Verdict(action=Action.SKIP, reasons=("no orphaned blobs",))
    if mode is Mode.FORCE:
        found = f"{format_count(blobs, 'orphaned blob')}, about {format_size(size)}"
        return Verdict(action=Action.PRUNE, reasons=(f"{found}; hard_prune is set to force, thresholds ignored",))
    enough_blobs = blobs >= thresholds.min_blobs
    enough_bytes = size >= thresholds.min_bytes
    reasons = (
        f"{format_count(blobs, 'orphaned blob')} {'≥' if enough_blobs else '<'} {thresholds.min_blobs:,}",
        f"about {format_size(size)} {'≥' if enough_bytes else '<'} {format_size(thresholds.min_bytes)}",
    )
    return Verdict(action=Action.PRUNE if enough_blobs or enough_bytes else Action.SKIP, reasons=reasons)


def _ceilings(dry_run: PrunerResult, image_count: int, audit: ReferenceAudit | None) -> list[str]:
    stops = []
    problem = dry_run.problem()
    if problem:
        stops.append(problem)
    if dry_run.missing_storage:
        stops.append(
            "the pruner found no repositories in the registry's storage: is it mounted, and is it the right one?"
        )
    if image_count == 0:
        stops.append(
            "the cluster has no Image objects at all, so the pruner takes every blob for an orphan: "
            "is this the right cluster, and is its etcd whole?"
        )
    if dry_run.complete and dry_run.said is not None and dry_run.counted_blobs != dry_run.said.blobs:
        stops.append(
            f"the dry run's summary says {dry_run.said.blobs:,} blobs but its log lists {dry_run.counted_blobs:,}: "
            "what would be deleted is not known for certain"
        )
    if audit is not None:
        stops.extend(audit.problems())
    return stops
