"""A run's report, put together from what its tasks handed over (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from include.registry_prune.pruner.dockerregistry import PrunerResult
from include.registry_prune.report.facts import Facts, outcome_of, reasons_of
from include.registry_prune.report.lines import lines_of
from include.registry_prune.report.report import RunReport
from include.registry_prune.verdict.backlog import backlog_problem, slices_left
from include.registry_prune.verdict.history import History


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
    keep_seconds: float = 0.0,
) -> RunReport:
    """Put a run's report together from what its tasks handed over.

    :param phases: seconds that each task took.
    :param hard_prune_wanted: False for a run with ``hard_prune: never``.
    :param history: the runs before; ``most_slices``: the setting.
    :param keep_seconds: the setting ``keep_deleted``.
    """
    dry_run, deletion, verdict = facts.dry_run, facts.deletion, facts.verdict
    before, after = facts.before, facts.after
    outcome = outcome_of(facts, dry_run_only=dry_run_only, hard_prune_wanted=hard_prune_wanted)
    report = RunReport(
        run_id=run_id,
        cluster=cluster,
        outcome=outcome,
        reasons=reasons_of(facts, outcome),
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
        **_by_list(facts, keep_seconds),
        phases=dict(phases),
        failed_tasks=facts.failed_tasks,
    )
    report = report.model_copy(update=_what_is_left(facts, report, history or History(), most_slices))
    return report.model_copy(update={"lines": tuple(lines_of(report, facts))})


def _by_list(facts: Facts, keep_seconds: float) -> dict[str, Any]:
    """How it was deleted, and what is kept of it until when."""
    if facts.deletion is None:
        return {}
    by_list = facts.deletion.by_list
    if by_list is None:
        return {"deleted_by": "dockerregistry"}
    kept = {each.name: each.since for each in facts.removal.kept} if facts.removal else {}
    since = kept.get(by_list.kept_as)
    removed = facts.removal is not None and by_list.kept_as in facts.removal.names
    return {
        "deleted_by": "list",
        "keeps": "nothing" if removed else by_list.keeps,
        "kept_as": by_list.kept_as,
        "kept_until": since + timedelta(seconds=keep_seconds) if since else None,
    }


def _what_is_left(facts: Facts, report: RunReport, history: History, most_slices: int) -> dict[str, Any]:
    if facts.deletion is None or report.orphaned_blobs is None or report.deleted_blobs is None:
        return {}
    if not facts.deletion.sliced:
        return {"left_blobs": 0, "slices_left": 0} if facts.deletion.complete else {}
    found, deleted = report.orphaned_blobs, report.deleted_blobs
    left = max(found - deleted, 1)
    problem = backlog_problem(history, found=found, deleted=deleted, left=left, most_slices=most_slices)
    return {"left_blobs": left, "slices_left": slices_left(left=left, deleted=deleted), "backlog": problem}


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
