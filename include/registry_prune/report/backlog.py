"""Whether the orphans pile up although runs find them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from include.registry_prune.report.kept_reports import kept_reports
from include.registry_prune.units import format_count

if TYPE_CHECKING:
    from include.registry_prune.report.report import RunReport
    from include.registry_prune.settings.clusters import ClusterSettings
    from include.registry_prune.verdict.evidence import Thresholds

LOOKED_AT = 5
"""So many runs in a row: a working week of a daily schedule."""


def recent_reports(settings: ClusterSettings) -> tuple[RunReport, ...]:
    """The last reports of a cluster, the newest first.

    :raises OSError: if they cannot be read.
    """
    return kept_reports(settings.artifacts, settings.dag_id, newest=4 * LOOKED_AT).reports


def left(report: RunReport) -> int | None:
    """The orphans that a run left where they are; None if it did not look."""
    return None if report.orphaned_blobs is None else max(report.orphaned_blobs - (report.deleted_blobs or 0), 0)


def backlog_text(reports: Sequence[RunReport], thresholds: Thresholds) -> str | None:
    """What to say of a backlog that never shrinks; None if it does, or is not worth a prune.

    :param reports: the newest first.
    """
    known = [count for report in reports if (count := left(report)) is not None][:LOOKED_AT]
    if len(known) < LOOKED_AT or min(known) < thresholds.min_blobs:
        return None
    if any(newer < older for newer, older in pairwise(known)):
        return None
    return (
        f"The last {LOOKED_AT} runs that looked have each left as many orphans as the run before, or more: "
        f"{format_count(known[-1], 'blob')} then, {format_count(known[0], 'blob')} now."
    )
