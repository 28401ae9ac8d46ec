"""What one run found, did and took (pure).

The report carries its own text, in lines of a label and a text: an alert, the page in Airflow's UI and a terminal only
lay them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self, TypeVar

from pydantic import AwareDatetime, Field

from include.registry_prune.base_prune.job import BasePrune, Restart
from include.registry_prune.cluster.registry_state import PodsSeen, Settled
from include.registry_prune.lists.reconciliation import Reconciliation
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.records import Record
from include.registry_prune.report.older_reports import upgraded
from include.registry_prune.units import format_count, format_seconds, format_size
from include.registry_prune.verdict.backlog import backlog_problem, slices_left
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.verdict.history import History, PastRun
from include.registry_prune.window.builds import BuildsHit

R = TypeVar("R", bound=Record)
_FAILED_STATES = ("failed", "upstream_failed")
_GATES = ("survey_gate", "blob_threshold", "right_moment")
_PROBLEM_CHARACTERS = 600
_WARNINGS = 3
"""At most this many of the pruner's warnings are in the report."""

BECAUSE, FAILED_TASKS = "because", "failed tasks"
SLICE = "slice"
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


class Facts:
    """What the tasks of a run handed over, and what Airflow says of them.

    :param results: each task's result as JSON, by task; tasks without one are missing.
    :param states: each task's state, by task.
    :param problems: why a task failed, by task.
    :param pods_seen: what ``set_read_only`` saw of the pods, if they did not settle.
    """

    def __init__(
        self,
        results: Mapping[str, Any],
        states: Mapping[str, str],
        problems: Mapping[str, str],
        pods_seen: Any = None,
    ) -> None:
        def read(kind: type[R], task: str) -> R | None:
            value = results.get(task)
            return None if value is None else kind.from_json(value)

        self.states = states
        self.problems = problems
        self.base = read(BasePrune, "base_prune")
        self.restart = read(Restart, "restart_registry")
        self.survey = read(PrunerResult, "survey")
        self.dry_run = read(PrunerResult, "dry_run") or self.survey
        self.deletion = read(PrunerResult, "hard_prune")
        self.gates = {gate: verdict for gate in _GATES if (verdict := read(Verdict, gate)) is not None}
        self.verdict = self.gates.get("blob_threshold") or self.gates.get("survey_gate")
        self.moment = self.gates.get("right_moment")
        self.approval = read(Approval, "approve_window")
        self.hit = read(BuildsHit, "verify_restored")
        self.settled = read(Settled, "set_read_only")
        self.pods_seen = None if pods_seen is None else PodsSeen.from_json(pods_seen)
        self.restored = read(Settled, "restore_read_write")
        self.before = read(IntegrityCheck, "integrity_before")
        self.after = read(IntegrityCheck, "integrity_after")
        self.reconciliation = read(Reconciliation, "reconcile")

    @property
    def went_wrong(self) -> bool:
        """Whether a task failed."""
        return any(state in _FAILED_STATES for state in self.states.values())

    @property
    def failed_tasks(self) -> tuple[str, ...]:
        """Not the ones that were given up because of them: they would bury the cause."""
        return tuple(task for task, state in self.states.items() if state == "failed")

    @property
    def first_pod_at(self) -> datetime | None:
        """When a pod was first seen read-only."""
        seen = self.settled or self.pods_seen
        return seen.first_pod_at if seen else None


def build_report(
    facts: Facts,
    *,
    run_id: str,
    cluster: str,
    phases: Mapping[str, float],
    dry_run_only: bool,
    hard_prune_wanted: bool = True,
    history: History | None = None,
    most_slices: int = 30,
) -> RunReport:
    """Put a run's report together from what its tasks handed over.

    :param phases: seconds that each task took.
    :param hard_prune_wanted: False for a run with ``hard_prune: never``.
    :param history: the runs before; ``most_slices``: the setting.
    """
    dry_run, deletion, verdict = facts.dry_run, facts.deletion, facts.verdict
    before, after = facts.before, facts.after
    outcome = _outcome(facts, dry_run_only=dry_run_only, hard_prune_wanted=hard_prune_wanted)
    report = RunReport(
        run_id=run_id,
        cluster=cluster,
        outcome=outcome,
        reasons=_reasons(facts, outcome),
        base_prune=_base_prune_text(facts),
        orphaned_blobs=dry_run.orphans if dry_run else None,
        orphaned_bytes=dry_run.said.rounded_bytes if dry_run and dry_run.said else None,
        deleted_blobs=_deleted_blobs(facts),
        freed_bytes=_freed_bytes(deletion, dry_run),
        first_push_seconds=_first_push_seconds(facts),
        rollouts_seconds=_rollouts_seconds(facts),
        read_only_seconds=_read_only_seconds(facts),
        cluster_id=verdict.cluster_id or None if verdict else None,
        scan_seconds=dry_run.seconds if dry_run and dry_run.complete else None,
        # Of several attempts only the last one's time is there, and the blobs of all: that would look like a quick one.
        delete_seconds=deletion.seconds if deletion and deletion.attempts == 1 else None,
        verdict=verdict.action if verdict else None,
        estimated_delete_seconds=verdict.estimated_delete_seconds if verdict else None,
        passed_ceilings=verdict.passed if verdict else (),
        passed_by=verdict.passed_by if verdict else "",
        broken_before=before.broken_count if before and before.exit_status == 0 else None,
        broken_after=after.broken_count if after and after.exit_status == 0 else None,
        builds_hit=facts.hit.count if facts.hit else None,
        builds_hit_names=facts.hit.names if facts.hit else (),
        artifact=dry_run.artifact if dry_run else None,
        reconciliation=facts.reconciliation,
        phases=dict(phases),
        failed_tasks=facts.failed_tasks,
    )
    report = report.model_copy(update=_what_is_left(facts, report, history or History(), most_slices))
    return report.model_copy(update={"lines": tuple(_lines(report, facts))})


def _what_is_left(facts: Facts, report: RunReport, history: History, most_slices: int) -> dict[str, Any]:
    if facts.deletion is None or report.orphaned_blobs is None or report.deleted_blobs is None:
        return {}
    if not facts.deletion.sliced:
        return {"left_blobs": 0, "slices_left": 0} if facts.deletion.complete else {}
    found, deleted = report.orphaned_blobs, report.deleted_blobs
    left = max(found - deleted, 1)
    problem = backlog_problem(history, found=found, deleted=deleted, left=left, most_slices=most_slices)
    return {"left_blobs": left, "slices_left": slices_left(left=left, deleted=deleted), "backlog": problem}


def _lines(report: RunReport, facts: Facts) -> Iterator[tuple[str, str]]:
    """The report for people."""
    yield from ((BECAUSE, reason) for reason in report.reasons)
    if report.failed_tasks:
        yield FAILED_TASKS, ", ".join(report.failed_tasks)
    if report.base_prune is not None:
        yield "base prune", report.base_prune
    yield ORPHANS, _amount(report.orphaned_blobs, report.orphaned_bytes)
    yield DELETED, _amount(report.deleted_blobs, report.freed_bytes)
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


def _slice_lines(report: RunReport) -> Iterator[tuple[str, str]]:
    if not report.left_blobs:
        return
    more = "" if report.slices_left is None else f", {format_count(report.slices_left, 'more run')} at this rate"
    of = f"{report.deleted_blobs or 0:,} of {format_count(report.orphaned_blobs or 0, 'blob')} deleted"
    yield SLICE, f"{of}, {report.left_blobs:,} left{more}; the next run goes on"
    if report.backlog:
        yield "LOOK INTO THIS", report.backlog


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


def past_run(report: RunReport) -> PastRun:
    """What later runs have to know of a run. What a gate stopped at is nothing to compare with."""
    stopped = any(gate in report.failed_tasks for gate in ("survey_gate", "blob_threshold"))
    if stopped or (report.verdict is None and report.cluster_id is None):
        return PastRun(run_id=report.run_id)
    deleted = "hard_prune" not in report.failed_tasks and report.deleted_blobs
    return PastRun(
        run_id=report.run_id,
        cluster_id=report.cluster_id,
        orphaned_blobs=report.orphaned_blobs,
        deleted_blobs=report.deleted_blobs if deleted else None,
        left_blobs=report.left_blobs,
        rollouts_seconds=report.rollouts_seconds,
        scan_seconds=report.scan_seconds,
        delete_seconds=report.delete_seconds if deleted else None,
    )


def _outcome(facts: Facts, *, dry_run_only: bool, hard_prune_wanted: bool) -> Outcome:
    if facts.went_wrong:
        return Outcome.FAILED
    if facts.approval is not None and not facts.approval.approved:
        return Outcome.REJECTED
    if facts.moment is not None and facts.moment.action is Action.SKIP:
        return Outcome.POSTPONED
    if facts.deletion is not None and facts.deletion.complete:
        return Outcome.PRUNED
    if facts.deletion is not None and facts.deletion.sliced:
        return Outcome.SLICE
    if _end_is_missing(facts):
        return Outcome.END_NOT_KNOWN
    if dry_run_only:
        return Outcome.DRY_RUN
    if hard_prune_wanted and facts.verdict is not None and facts.verdict.action is Action.SKIP:
        return Outcome.NOT_WORTH_IT
    return Outcome.NO_HARD_PRUNE


def _end_is_missing(facts: Facts) -> bool:
    """Whether a delete was begun, or may have been, whose end nobody saw: its task did not fail, and hands over no end.

    The lease tells whether one was begun. A run whose window is closed, and whose lease had no delete, had none.
    """
    if facts.deletion is not None and not facts.deletion.complete and not facts.deletion.sliced:
        return True
    if facts.restored is not None:
        return facts.deletion is None and facts.restored.delete_began_at is not None
    return facts.deletion is None and facts.states.get("hard_prune") == "success"


def _reasons(facts: Facts, outcome: Outcome) -> tuple[str, ...]:
    """Why the run did what it did, in the order in which it was decided; of a run that failed: what failed said."""
    if outcome is Outcome.END_NOT_KNOWN:
        return _what_is_known(facts)
    reasons: tuple[str, ...] = () if facts.failed_tasks else facts.verdict.reasons if facts.verdict else ()
    for task in facts.failed_tasks:
        stopped = facts.gates.get(task)
        if stopped is not None and stopped.action is Action.STOP:
            reasons += stopped.reasons
        else:
            reasons += (f"{task}: {_one_line(facts.problems.get(task, 'it did not say why, see its log'))}",)
    if facts.failed_tasks:
        marked = "hard_prune" not in facts.failed_tasks and _end_is_missing(facts)
        return reasons + (_what_is_known(facts) if marked else ())
    if facts.approval is not None and facts.approval.asked:
        reasons += (facts.approval.text(),)
    if facts.moment is not None and (facts.moment.action is not Action.PRUNE or len(facts.moment.reasons) > 1):
        reasons += facts.moment.reasons
    return reasons


def _what_is_known(facts: Facts) -> tuple[str, ...]:
    state = facts.states.get("hard_prune", "not known")
    began = facts.restored.delete_began_at if facts.restored else None
    known = (
        f"the lease says that a delete began at {began:%Y-%m-%d %H:%M:%S} UTC"
        if began
        else "whether a delete began is not known"
        if facts.deletion is None
        else "a delete began"
    )
    so_far = "" if facts.deletion is None else f"; so far it {facts.deletion.text()}"
    return (f"hard_prune is {state} although it saw no end: {known}, and how it ended is not known{so_far}",)


def _one_line(problem: str) -> str:
    text = " ".join(problem.split())
    return text if len(text) <= _PROBLEM_CHARACTERS else f"{text[:_PROBLEM_CHARACTERS]} …"


def _base_prune_text(facts: Facts) -> str | None:
    """What the base prune did, and whether pods may still remember what it deleted."""
    if facts.base is None:
        return None
    # Every pod was replaced on the way into the window.
    windowed = facts.states.get("set_read_only") == "success"
    restart = facts.restart
    told = restart.text() if restart and not (windowed and restart.not_done) else ""
    return "; ".join(filter(None, (facts.base.text(), told)))


def _freed_bytes(deletion: PrunerResult | None, dry_run: PrunerResult | None) -> int | None:
    if deletion is None or deletion.said is None:
        return None
    if deletion.attempts > 1 and deletion.complete and dry_run and dry_run.said:
        # An interrupted attempt does not say what it freed; after all of them, all of the dry run's is gone.
        return dry_run.said.rounded_bytes
    return deletion.said.rounded_bytes


def _deleted_blobs(facts: Facts) -> int | None:
    deletion = facts.deletion
    if deletion is not None:
        return deletion.deleted_blobs
    if facts.restored is not None and facts.restored.delete_began_at is not None:
        return None
    return 0 if facts.states.get("hard_prune") in ("skipped", "upstream_failed") else None


def _read_only_seconds(facts: Facts) -> float | None:
    restored = facts.restored
    if restored is None:
        # Nothing was armed: the window was never open.
        return 0.0 if facts.states.get("arm_window") in ("skipped", "upstream_failed", "failed") else None
    if restored.closed_at is None or (facts.settled is None and facts.pods_seen is None):
        return restored.read_only_seconds or 0.0
    if facts.first_pod_at is None:
        return 0.0 if facts.settled is None else restored.read_only_seconds
    return round(max((restored.closed_at - facts.first_pod_at).total_seconds(), 0.0), 3)


def _first_push_seconds(facts: Facts) -> float | None:
    restored = facts.restored
    if restored is None or restored.first_pod_at is None or facts.first_pod_at is None:
        return None
    return round(max((restored.first_pod_at - facts.first_pod_at).total_seconds(), 0.0), 3)


def _rollouts_seconds(facts: Facts) -> float | None:
    if facts.settled is None or facts.restored is None or not facts.restored.read_only_seconds:
        return None
    return round(facts.settled.seconds + facts.restored.seconds, 3)


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
