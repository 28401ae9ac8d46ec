"""What the tasks of a run handed over and what Airflow says of them, and what follows: how the run ended, and why
(pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from include.registry_prune.base_prune.job import BasePrune, Restart
from include.registry_prune.cluster.registry_state import PodsSeen, Settled
from include.registry_prune.exact_pod.kept import Removal
from include.registry_prune.lists.reconciliation import Reconciliation
from include.registry_prune.preflight.approval import Approval
from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.pruner.integrity import IntegrityCheck
from include.registry_prune.records import Record
from include.registry_prune.report.report import Outcome
from include.registry_prune.verdict.decision import Action, Verdict
from include.registry_prune.window.builds import BuildsHit

R = TypeVar("R", bound=Record)
_FAILED_STATES = ("failed", "upstream_failed")
_GATES = ("survey_gate", "blob_threshold", "right_moment")
_PROBLEM_CHARACTERS = 600


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
        self.storage = str((results.get("verify_access") or {}).get("storage", ""))
        """Its driver, as the Config names it, and nothing else of the storage: ``preflight/storage.py`` finds it, and
        ``AccessReview`` hands it over."""
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
        self.removal = read(Removal, "remove_deleted")
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


def outcome_of(facts: Facts, *, dry_run_only: bool, hard_prune_wanted: bool) -> Outcome:
    """How the run ended."""
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


def reasons_of(facts: Facts, outcome: Outcome) -> tuple[str, ...]:
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
