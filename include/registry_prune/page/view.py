"""Runs and their reports as the page in Airflow's UI shows them (pure).

What is shown was stored by runs of any version of this project, and by whoever may write an XCom or a kept report: what
cannot be read is shown as that, and never breaks the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ValidationError

from include.registry_prune.report.report import BECAUSE, Outcome, RunReport

Tone = Literal["good", "quiet", "bad", "busy"]
_TONES: dict[Outcome, Tone] = {
    Outcome.PRUNED: "good",
    Outcome.SLICE: "good",
    Outcome.FAILED: "bad",
    Outcome.END_NOT_KNOWN: "bad",
}
_FIGURES = (
    "orphaned_blobs",
    "orphaned_bytes",
    "deleted_blobs",
    "freed_bytes",
    "left_blobs",
    "slices_left",
    "read_only_seconds",
)
_SHOWN_JSON_CHARACTERS = 2000
"""Of a report that cannot be read."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class StoredRun:
    """One DAG run as Airflow's database has it.

    :param state: Airflow's word for it.
    :param report: what the task ``report`` handed over, as JSON; None if it has handed over nothing.
    :param due_at: when the run was due; by it runs are in order.
    :param in_airflow: False: Airflow has forgotten the run, and its report alone is left.
    """

    run_id: str
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    report: Any = None
    due_at: datetime | None = None
    in_airflow: bool = True


def with_kept(runs: Iterable[StoredRun], kept: Iterable[RunReport], *, most: int) -> list[StoredRun]:
    """What Airflow knows of runs, and the reports that were kept of these and of runs that it has forgotten.

    :param runs: with the reports that Airflow has, the newest first; they count where none was kept.
    :param kept: the newest first.
    :param most: at most this many of them.
    """
    reports = {report.run_id: report for report in kept}
    known = [replace(run, report=reports.pop(run.run_id).to_json()) if run.run_id in reports else run for run in runs]
    forgotten = [
        StoredRun(
            report.run_id,
            "",
            report.started_at,
            report.reported_at,
            report.to_json(),
            due_at=report.run_after,
            in_airflow=False,
        )
        for report in reports.values()
    ]
    return sorted([*known, *forgotten], key=lambda run: run.due_at or _LONG_AGO, reverse=True)[:most]


@dataclass(frozen=True)
class RunView:
    """One run in the history. A figure that is None was not looked at.

    :param due_at: when the run was due; by it runs are in order.
    :param outcome: in one word or two.
    :param why: the first reason, or why there is no report to show.
    :param reported: whether there is a report that could be read.
    :param in_airflow: whether Airflow still has a page of the run.
    """

    run_id: str
    due_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str
    tone: Tone
    why: str = ""
    failed_tasks: tuple[str, ...] = ()
    reported: bool = False
    in_airflow: bool = True
    orphaned_blobs: int | None = None
    orphaned_bytes: int | None = None
    deleted_blobs: int | None = None
    freed_bytes: int | None = None
    left_blobs: int | None = None
    slices_left: int | None = None
    read_only_seconds: float | None = None


@dataclass(frozen=True)
class RunDetail:
    """One run by itself.

    :param lines: label and text: those of the report, or why there is none to show.
    :param broken_before: images that were broken before the run; ``broken_after``: after it.
    :param builds_hit: builds whose push failed in the window; the names of some of them.
    :param phases: seconds that each task took in all its tries, by task.
    :param unread: the stored report as it is, if it cannot be read.
    """

    run: RunView
    lines: tuple[tuple[str, str], ...] = ()
    broken_before: int | None = None
    broken_after: int | None = None
    builds_hit: int | None = None
    builds_hit_names: tuple[str, ...] = ()
    phases: tuple[tuple[str, float], ...] = ()
    unread: str = ""


def view_runs(runs: Iterable[StoredRun]) -> tuple[RunView, ...]:
    """The runs in the order given."""
    return tuple(view_run(run).run for run in runs)


def view_run(run: StoredRun) -> RunDetail:
    """One run, whatever its report looks like."""
    if run.report is None:
        return _without_report(run)
    try:
        return _with_report(run, RunReport.from_json(run.report))
    except ValidationError as error:
        return _unread(run, _report_problem(run.report, error))
    except (ValueError, OverflowError) as error:  # figures that no pruner ever prints, such as NaN
        return _unread(run, f"its report has figures that make no sense: {error}")


def _report_problem(report: Any, error: ValidationError) -> str:
    version = report.get("version") if isinstance(report, dict) else None
    known = RunReport.model_fields["version"].default
    if isinstance(version, int) and version != known:
        return f"its report is of version {version}; this page reads version {known}"
    first = error.errors()[0]
    return f"its report cannot be read: {'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


def _without_report(run: StoredRun) -> RunDetail:
    if run.ended_at is None:
        why = "not ended yet" if run.started_at else "not begun yet"
        return RunDetail(_row(run, run.state, "busy", why), ((BECAUSE, why),))
    why = "it left no report: see the log of the task report"
    return RunDetail(_row(run, f"{run.state}, no report", "bad", why), ((BECAUSE, why),))


def _unread(run: StoredRun, why: str) -> RunDetail:
    text = json.dumps(run.report, indent=1, ensure_ascii=False, default=str)
    shown = text if len(text) <= _SHOWN_JSON_CHARACTERS else f"{text[:_SHOWN_JSON_CHARACTERS]} …"
    return RunDetail(
        _row(run, f"{run.state}, unreadable report".lstrip(", "), "bad", why), ((BECAUSE, why),), unread=shown
    )


def _with_report(run: StoredRun, report: RunReport) -> RunDetail:
    # Somebody may have cleared tasks of an old run: then its report is the earlier one.
    busy = run.in_airflow and run.ended_at is None
    outcome = f"{run.state}, before: {report.outcome}" if busy else str(report.outcome)
    tone: Tone = "busy" if busy else _TONES.get(report.outcome, "quiet")
    row = replace(
        _row(run, outcome, tone, report.reasons[0] if report.reasons else ""),
        failed_tasks=report.failed_tasks,
        reported=True,
        **{name: _finite(getattr(report, name)) for name in _FIGURES},
    )
    return RunDetail(
        row,
        lines=report.lines,
        broken_before=report.broken_before,
        broken_after=report.broken_after,
        builds_hit=report.builds_hit,
        builds_hit_names=report.builds_hit_names,
        phases=tuple((task, _finite(seconds)) for task, seconds in report.phases.items()),
    )


def _row(run: StoredRun, outcome: str, tone: Tone, why: str) -> RunView:
    return RunView(
        run_id=run.run_id,
        due_at=run.due_at or run.started_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        outcome=outcome,
        tone=tone,
        why=why,
        in_airflow=run.in_airflow,
    )


def _finite(value: Any) -> Any:
    """The same figure.

    :raises ValueError: if JSON has none like it.
    """
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{value} is no number")
    return value
