"""What one run found, did and took (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, TypeVar

from pydantic import Field

from include.registry_prune.base_prune.job import BasePrune, Restart
from include.registry_prune.cluster.registry_state import Settled
from include.registry_prune.lists.reconciliation import Reconciliation
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.records import Record
from include.registry_prune.units import format_count, format_seconds, format_size
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.verdict.history import PastRun
from include.registry_prune.window.builds import BuildsHit

R = TypeVar("R", bound=Record)
_FAILED_STATES = ("failed", "upstream_failed")
_GATES = ("survey_gate", "blob_threshold")


class Outcome(StrEnum):
    """How a run ended, in one word."""

    PRUNED = "pruned"
    NOT_WORTH_IT = "not worth it"
    DRY_RUN = "dry run"
    NO_HARD_PRUNE = "no hard prune"
    POSTPONED = "postponed"
    REJECTED = "rejected"
    FAILED = "failed"


class RunReport(Record):
    """One run. ``None`` means: not looked at.

    :param orphaned_bytes: as the pruner said it, rounded to four significant digits; likewise ``freed_bytes``.
    :param read_only_seconds: from the patch ``readOnly: true`` until no pod was read-only any more; 0 if it never was.
    :param cluster_id: of the cluster that the run worked with.
    :param scan_seconds: that the last dry run took.
    :param delete_seconds: that the delete took; not known of one that was interrupted. ``estimated_delete_seconds``:
        what was expected before it.
    :param passed_ceilings: by name; ``passed_by``: who let the run pass them.
    :param artifact: the list of the last dry run's candidates.
    :param reconciliation: what became of these candidates, and the places of further lists.
    :param builds_hit: builds whose push failed while the registry was read-only; the names of at most 20 of them.
    :param phases: seconds that each task took, by task.
    """

    version: Literal[1] = 1
    run_id: str
    cluster: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    base_prune: str | None = None
    orphaned_blobs: int | None = None
    orphaned_bytes: int | None = None
    deleted_blobs: int | None = None
    freed_bytes: int | None = None
    read_only_seconds: float | None = None
    cluster_id: str | None = None
    scan_seconds: float | None = None
    delete_seconds: float | None = None
    estimated_delete_seconds: float | None = None
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

    def text(self) -> str:
        """The report for people, a line for each figure."""
        lines = [f"Hard prune of {self.cluster}, run {self.run_id}: {self.outcome}"]
        lines += [f"  why: {reason}" for reason in self.reasons]
        if self.failed_tasks:
            lines.append(f"  failed tasks: {', '.join(self.failed_tasks)}")
        if self.base_prune is not None:
            lines.append(f"  base prune: {self.base_prune}")
        lines += [
            f"  orphans found: {_amount(self.orphaned_blobs, self.orphaned_bytes)}",
            f"  deleted: {_amount(self.deleted_blobs, self.freed_bytes)}",
            f"  read-only: {'unknown' if self.read_only_seconds is None else format_seconds(self.read_only_seconds)}",
            f"  broken images: {_number(self.broken_before)} before, {_number(self.broken_after)} after",
        ]
        if self.builds_hit:
            names = ", ".join(self.builds_hit_names)
            lines.append(f"  builds hit, start them again: {format_count(self.builds_hit, 'build')} ({names})")
        if self.estimated_delete_seconds is not None:
            took = f", took {format_seconds(self.delete_seconds)}" if self.delete_seconds is not None else ""
            lines.append(f"  delete: estimated {format_seconds(self.estimated_delete_seconds)}{took}")
        if self.passed_ceilings:
            lines.append(f"  ceilings passed by {self.passed_by}: {', '.join(self.passed_ceilings)}")
        if self.artifact:
            lines.append(f"  list of candidates: {self.artifact}")
        if self.reconciliation is not None:
            lines += self.reconciliation.lines()
        return "\n".join(lines)


def _number(value: int | None) -> str:
    return "not looked at" if value is None else f"{value:,}"


def _amount(blobs: int | None, size_bytes: int | None) -> str:
    if blobs is None:
        return "not looked at"
    size = f", about {format_size(size_bytes)}" if size_bytes is not None else ""
    return format_count(blobs, "blob") + size


def build_report(
    *,
    run_id: str,
    cluster: str,
    results: Mapping[str, Any],
    states: Mapping[str, str],
    phases: Mapping[str, float],
    dry_run_only: bool,
    hard_prune_wanted: bool = True,
) -> RunReport:
    """Put a run's report together from what its tasks handed over.

    :param results: each task's result as JSON, by task; tasks without one are missing.
    :param states: each task's state, by task.
    :param phases: seconds that each task took.
    :param hard_prune_wanted: False for a run with ``hard_prune: never``.
    """
    survey = _read(PrunerResult, results.get("survey"))
    dry_run = _read(PrunerResult, results.get("dry_run")) or survey
    deletion = _read(PrunerResult, results.get("hard_prune"))
    verdict = _read(Verdict, results.get("blob_threshold")) or _read(Verdict, results.get("survey_gate"))
    approval = _read(Approval, results.get("approve_window"))
    moment = _read(Verdict, results.get("right_moment"))
    hit = _read(BuildsHit, results.get("verify_restored"))
    restored = _read(Settled, results.get("restore_read_write"))
    base = _read(BasePrune, results.get("base_prune"))
    before = _read(IntegrityCheck, results.get("integrity_before"))
    after = _read(IntegrityCheck, results.get("integrity_after"))
    went_wrong = any(state in _FAILED_STATES for state in states.values())
    return RunReport(
        run_id=run_id,
        cluster=cluster,
        outcome=_not_opened(went_wrong, approval, moment)
        or _outcome(went_wrong, deletion, verdict if hard_prune_wanted else None, dry_run_only),
        reasons=_reasons(verdict, approval, moment),
        base_prune=_base_prune_text(base, _read(Restart, results.get("restart_registry")), states),
        orphaned_blobs=dry_run.said.blobs if dry_run and dry_run.said else None,
        orphaned_bytes=dry_run.said.rounded_bytes if dry_run and dry_run.said else None,
        deleted_blobs=_deleted_blobs(deletion, states),
        freed_bytes=_freed_bytes(deletion, dry_run),
        read_only_seconds=_read_only_seconds(restored, states),
        cluster_id=verdict.cluster_id or None if verdict else None,
        scan_seconds=dry_run.seconds if dry_run and dry_run.complete else None,
        # Of several attempts only the last one's time is there, and the blobs of all: that would look like a quick one.
        delete_seconds=deletion.seconds if deletion and deletion.attempts == 1 else None,
        estimated_delete_seconds=verdict.estimated_delete_seconds if verdict else None,
        passed_ceilings=verdict.passed if verdict else (),
        passed_by=verdict.passed_by if verdict else "",
        broken_before=before.broken_count if before and before.exit_status == 0 else None,
        broken_after=after.broken_count if after and after.exit_status == 0 else None,
        builds_hit=hit.count if hit else None,
        builds_hit_names=hit.names if hit else (),
        artifact=dry_run.artifact if dry_run else None,
        reconciliation=_read(Reconciliation, results.get("reconcile")),
        phases=dict(phases),
        # Not the ones that were given up because of them: they would bury the cause.
        failed_tasks=tuple(task for task, state in states.items() if state == "failed"),
    )


def past_run(report: RunReport) -> PastRun:
    """What later runs have to know of a run. What a gate stopped at is nothing to compare with."""
    stopped = any(gate in report.failed_tasks for gate in _GATES)
    if stopped or not report.reasons:
        return PastRun(run_id=report.run_id)
    deleted = "hard_prune" not in report.failed_tasks and report.deleted_blobs
    return PastRun(
        run_id=report.run_id,
        cluster_id=report.cluster_id,
        orphaned_blobs=report.orphaned_blobs,
        deleted_blobs=report.deleted_blobs if deleted else None,
        scan_seconds=report.scan_seconds,
        delete_seconds=report.delete_seconds if deleted else None,
    )


def _read(kind: type[R], value: Any) -> R | None:
    return None if value is None else kind.from_json(value)


def _not_opened(went_wrong: bool, approval: Approval | None, moment: Verdict | None) -> Outcome | None:
    """The outcome of a run that did all but open the window; None of any other."""
    if went_wrong:
        return None
    if approval is not None and not approval.approved:
        return Outcome.REJECTED
    return Outcome.POSTPONED if moment is not None and moment.action is Action.SKIP else None


def _reasons(verdict: Verdict | None, approval: Approval | None, moment: Verdict | None) -> tuple[str, ...]:
    """Why the run did what it did, in the order in which it was decided."""
    reasons = verdict.reasons if verdict else ()
    if approval is not None and approval.asked:
        reasons = (*reasons, approval.text())
    if moment is not None and (moment.action is not Action.PRUNE or len(moment.reasons) > 1):
        reasons = (*reasons, *moment.reasons)
    return reasons


def _outcome(went_wrong: bool, deletion: PrunerResult | None, verdict: Verdict | None, dry_run_only: bool) -> Outcome:
    if went_wrong:
        return Outcome.FAILED
    if deletion is not None:
        return Outcome.PRUNED
    if dry_run_only:
        return Outcome.DRY_RUN
    if verdict is not None and verdict.action is Action.SKIP:
        return Outcome.NOT_WORTH_IT
    return Outcome.NO_HARD_PRUNE


def _base_prune_text(base: BasePrune | None, restart: Restart | None, states: Mapping[str, str]) -> str | None:
    """What the base prune did, and whether pods may still remember what it deleted."""
    if base is None:
        return None
    # Every pod was replaced on the way into the window.
    windowed = states.get("set_read_only") == "success"
    told = restart.text() if restart and not (windowed and restart.not_done) else ""
    return "; ".join(filter(None, (base.text(), told)))


def _freed_bytes(deletion: PrunerResult | None, dry_run: PrunerResult | None) -> int | None:
    if deletion is None or deletion.said is None:
        return None
    if deletion.attempts > 1 and deletion.complete and dry_run and dry_run.said:
        # An interrupted attempt does not say what it freed; after all of them, all of the dry run's is gone.
        return dry_run.said.rounded_bytes
    return deletion.said.rounded_bytes


def _deleted_blobs(deletion: PrunerResult | None, states: Mapping[str, str]) -> int | None:
    if deletion is not None:
        return deletion.earlier_blobs + (deletion.said.blobs if deletion.said else deletion.counted_blobs)
    return 0 if states.get("hard_prune") in ("skipped", "upstream_failed") else None


def _read_only_seconds(restored: Settled | None, states: Mapping[str, str]) -> float | None:
    if restored is not None:
        return restored.read_only_seconds or 0.0
    # Nothing was armed: the window was never open.
    return 0.0 if states.get("arm_window") in ("skipped", "upstream_failed", "failed") else None
