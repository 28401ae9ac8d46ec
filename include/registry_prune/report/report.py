"""What one run found, did and took (pure).

The report carries its own text, in lines of a label and a text: an alert, the page in Airflow's UI and a terminal only
lay them out. It is built in ``building.py``, from what ``facts.py`` has; its text is in ``lines.py``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field

from include.registry_prune.lists.reconciliation import Reconciliation
from include.registry_prune.records import Record
from include.registry_prune.report.older_reports import upgraded
from include.registry_prune.verdict.history import PastRun
from include.registry_prune.verdict.rules import Action

BECAUSE, FAILED_TASKS = "because", "failed tasks"
SLICE = "slice"
KEPT, PUT_BACK = "kept", "put back"
ORPHANS, DELETED, READ_ONLY, REFUSED = "orphans found", "deleted", "read-only", "uploads refused"
"""Labels of lines that the page puts elsewhere, or in its overview."""


class Outcome(StrEnum):
    """How a run ended, in a word or three."""

    PRUNED = "pruned"
    SLICE = "slice"
    """The window's time was over before all was deleted; the next run goes on."""
    NOT_WORTH_IT = "not worth it"
    DRY_RUN = "dry run"
    NO_HARD_PRUNE = "no hard prune"
    POSTPONED = "postponed"
    REJECTED = "rejected"
    END_NOT_KNOWN = "end not known"
    """A delete was begun, or may have been, and nobody saw its end: its task was marked."""
    FAILED = "failed"


class RunReport(Record):
    """One run. ``None`` means: not looked at.

    :param lines: all of it for people: label and text. A label may stand on several lines.
    :param reasons: why the outcome is what it is: of a run that failed, what failed said.
    :param orphaned_bytes: as the pruner said it, rounded to four significant digits; likewise ``freed_bytes``.
    :param left_blobs: orphans that a slice left to the next run; 0 after a whole delete. ``slices_left``: so many more
        runs they take at its rate; None: no number is enough.
    :param backlog: why the backlog needs a person; empty if it does not.
    :param first_push_seconds: from the first pod that was seen read-only to the first that took pushes again.
    :param rollouts_seconds: of both rollouts together.
    :param read_only_seconds: from the first pod that was seen read-only to the last; 0 if there never was one. Where
        nobody saw the pods: from the patch ``readOnly: true``.
    :param cluster_id: of the cluster that the run worked with.
    :param scan_seconds: that the last dry run took.
    :param delete_seconds: that the delete took; not known of one that was interrupted. ``estimated_delete_seconds``:
        what was expected before it.
    :param deleted_by: ``list`` of a delete by the list, whose blobs are kept as ``keeps`` says, below the name
        ``kept_as``, until ``kept_until``, if the storage does not decide that.
    :param passed_ceilings: by name; ``passed_by``: who let the run pass them.
    :param artifact: the list of the last dry run's candidates.
    :param reconciliation: what became of these candidates, and the places of further lists.
    :param builds_hit: builds whose push failed while the registry was read-only; the names of at most 20 of them.
    :param phases: seconds that each task took in all its tries, by task.
    :param run_after: when the run was due; by it reports are in order. Clearing a run does not move it.
    :param verdict: what the last gate that had evidence said.
    """

    version: Literal[3] = 3
    run_id: str
    dag_id: str = ""
    run_after: AwareDatetime | None = None
    started_at: AwareDatetime | None = None
    reported_at: AwareDatetime | None = None
    verdict: Action | None = None
    cluster: str
    outcome: Outcome
    lines: tuple[tuple[str, str], ...] = ()
    reasons: tuple[str, ...] = ()
    base_prune: str | None = None
    orphaned_blobs: int | None = None
    orphaned_bytes: int | None = None
    deleted_blobs: int | None = None
    freed_bytes: int | None = None
    left_blobs: int | None = None
    slices_left: int | None = None
    backlog: str = ""
    first_push_seconds: float | None = None
    rollouts_seconds: float | None = None
    read_only_seconds: float | None = None
    cluster_id: str | None = None
    scan_seconds: float | None = None
    delete_seconds: float | None = None
    estimated_delete_seconds: float | None = None
    deleted_by: Literal["", "dockerregistry", "list"] = ""
    keeps: str = ""
    kept_as: str = ""
    kept_until: AwareDatetime | None = None
    passed_ceilings: tuple[str, ...] = ()
    passed_by: str = ""
    broken_before: int | None = None
    broken_after: int | None = None
    builds_hit: int | None = None
    builds_hit_names: tuple[str, ...] = ()
    artifact: str | None = None
    reconciliation: Reconciliation | None = None
    phases: dict[str, float] = Field(default_factory=dict)
    failed_tasks: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read back what :meth:`to_json` made, in this version or an earlier one.

        :raises pydantic.ValidationError: if it is something else.
        """
        return super().from_json(upgraded(value, cls.model_fields["version"].default))

    def text(self) -> str:
        """The report for people, a line for each figure."""
        head = f"Hard prune of {self.cluster}, run {self.run_id}: {self.outcome}"
        return "\n".join([head, *(f"  {label}: {text}" for label, text in self.lines)])


def past_run(report: RunReport) -> PastRun:
    """What later runs have to know of a run. What a gate stopped at is nothing to compare with."""
    stopped = any(gate in report.failed_tasks for gate in ("survey_gate", "blob_threshold"))
    if stopped or (report.verdict is None and report.cluster_id is None):
        return PastRun(run_id=report.run_id)
    deleted = "hard_prune" not in report.failed_tasks and report.deleted_blobs
    return PastRun(
        run_id=report.run_id,
        cluster_id=report.cluster_id,
        ended_at=report.reported_at,
        orphaned_blobs=report.orphaned_blobs,
        deleted_blobs=report.deleted_blobs if deleted else None,
        left_blobs=report.left_blobs,
        rollouts_seconds=report.rollouts_seconds,
        scan_seconds=report.scan_seconds,
        delete_seconds=report.delete_seconds if deleted else None,
        by_list=report.deleted_by == "list",
    )
