"""A report for people: lines of a label and a text (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from include.registry_prune.report.facts import Facts
from include.registry_prune.report.report import (
    BECAUSE,
    DELETED,
    FAILED_TASKS,
    KEPT,
    ORPHANS,
    PUT_BACK,
    READ_ONLY,
    REFUSED,
    SLICE,
    RunReport,
)
from include.registry_prune.units import format_count, format_seconds, format_size

_WARNINGS = 3
"""At most this many of the pruner's warnings are in the report."""
_BUCKETS = ("s3", "gcs", "azure", "oss", "ibmcos")


def lines_of(report: RunReport, facts: Facts) -> Iterator[tuple[str, str]]:
    """The report for people."""
    yield from ((BECAUSE, reason) for reason in report.reasons)
    if report.failed_tasks:
        yield FAILED_TASKS, ", ".join(report.failed_tasks)
    if report.base_prune is not None:
        yield "base prune", report.base_prune
    yield ORPHANS, _amount(report.orphaned_blobs, report.orphaned_bytes)
    yield DELETED, _amount(report.deleted_blobs, report.freed_bytes)
    if report.deleted_blobs and facts.storage in _BUCKETS:
        yield (
            "freed",
            (
                "in a bucket with versions nothing before its own rules remove them; unfinished uploads are no part of "
                "it (docs/delete-by-list.md)"
            ),
        )
    yield from _kept_lines(report, facts)
    yield from _slice_lines(report)
    yield from _read_only_lines(report, facts)
    yield "broken images", f"{_number(report.broken_before)} before, {_number(report.broken_after)} after"
    if report.builds_hit:
        names = ", ".join(report.builds_hit_names)
        yield "builds hit, start them again", f"{format_count(report.builds_hit, 'build')} ({names})"
    if report.estimated_delete_seconds is not None:
        took = f", took {format_seconds(report.delete_seconds)}" if report.delete_seconds is not None else ""
        yield "delete", f"estimated {format_seconds(report.estimated_delete_seconds)}{took}"
    if report.passed_ceilings:
        yield f"ceilings passed by {report.passed_by}", ", ".join(report.passed_ceilings)
    yield from _pruner_warnings(facts)
    if report.artifact:
        yield "list of candidates", report.artifact
    if report.reconciliation is not None:
        yield from report.reconciliation.lines()
    if report.cluster_id:
        yield "cluster id", report.cluster_id


def _kept_lines(report: RunReport, facts: Facts) -> Iterator[tuple[str, str]]:
    """How it was deleted, where it was not as documented, and whether it can be undone."""
    by_list = facts.deletion.by_list if facts.deletion else None
    if by_list is None:
        return
    yield "deleted by", f"the list that the gate judged, in {by_list.storage or 'a storage that was not reached'}"
    if by_list.missing:
        yield "deleted by", f"{format_count(by_list.missing, 'blob')} of it were not there any more"
    if by_list.put_back:
        yield PUT_BACK, f"{format_count(by_list.put_back, 'blob')} that an Image came to name meanwhile"
    if report.keeps == "renamed":
        until = f", until {report.kept_until:%Y-%m-%d %H:%M} UTC" if report.kept_until else ""
        yield KEPT, f"what was deleted{until}, as {report.kept_as}; registry_undo puts it back. No space is free before"
    elif report.keeps == "versions":
        yield (
            KEPT,
            "as versions, until the bucket's own rules remove them; registry_undo puts it back. No space is free",
        )
    elif report.keeps == "nothing":
        freed = (
            facts.removal.text() if facts.removal and report.kept_as in facts.removal.names else "it cannot be undone"
        )
        yield KEPT, f"nothing: {freed}"
    yield "manifest links", "stay: they free nothing, and their lines in the list may name a wrong repository"


def _slice_lines(report: RunReport) -> Iterator[tuple[str, str]]:
    if not report.left_blobs:
        return
    more = "" if report.slices_left is None else f", {format_count(report.slices_left, 'more run')} at this rate"
    of = f"{report.deleted_blobs or 0:,} of {format_count(report.orphaned_blobs or 0, 'blob')} deleted"
    yield SLICE, f"{of}, {report.left_blobs:,} left{more}; the next run goes on"
    if report.backlog:
        yield "LOOK INTO THIS", report.backlog


def _read_only_lines(report: RunReport, facts: Facts) -> Iterator[tuple[str, str]]:
    """How long uploads were refused: what the pods showed, and not what the patch said."""
    seconds, restored = report.read_only_seconds, facts.restored
    patched = restored.read_only_seconds if restored else None
    if seconds is None:
        yield READ_ONLY, "unknown"
    elif not patched:
        yield READ_ONLY, "never"
    elif facts.first_pod_at is not None and restored is not None and restored.closed_at is not None:
        again = report.first_push_seconds
        first_push = f"; the first pod took pushes again after {format_seconds(again)}" if again is not None else ""
        yield READ_ONLY, format_seconds(seconds) + first_push
        first, last = f"{facts.first_pod_at:%H:%M:%S}", f"{restored.closed_at:%H:%M:%S} UTC"
        yield REFUSED, f"from {first}, when the first pod was read-only, to {last}, when the last was gone"
    elif facts.settled is not None:
        yield READ_ONLY, format_seconds(seconds)
    elif facts.pods_seen is not None:
        yield READ_ONLY, "never"
        yield REFUSED, f"none: readOnly was true for {format_seconds(patched)}, and no pod got read-only"
    elif facts.states.get("set_read_only") == "failed":
        yield READ_ONLY, f"at most {format_seconds(patched)}"
        yield REFUSED, "not known: readOnly was true for that long, and nobody saw the pods"
    else:
        yield READ_ONLY, format_seconds(seconds)


def _pruner_warnings(facts: Facts) -> Iterator[tuple[str, str]]:
    results = [result for result in (facts.dry_run, facts.deletion) if result]
    warnings = tuple(dict.fromkeys(warning for result in results for warning in result.warnings))
    yield from (("the pruner warned", warning) for warning in warnings[:_WARNINGS])
    if len(warnings) > _WARNINGS:
        yield "the pruner warned", f"{len(warnings) - _WARNINGS} times more: see the logs of dry_run and hard_prune"


def _number(value: int | None) -> str:
    return "not looked at" if value is None else f"{value:,}"


def _amount(blobs: int | None, size_bytes: int | None) -> str:
    if blobs is None:
        return "not looked at"
    size = f", about {format_size(size_bytes)}" if size_bytes is not None else ""
    return format_count(blobs, "blob") + size
