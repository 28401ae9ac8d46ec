"""The reports of runs as the page in Airflow's UI shows them (pure).

What is shown was stored by runs of any version of this project, and by whoever may write an XCom or a kept report: what
cannot be read is shown as that, and never breaks the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ValidationError

from include.registry_prune.report.report import BECAUSE, DELETED, ORPHANS, READ_ONLY, Outcome, RunReport
from include.registry_prune.units import format_seconds

Tone = Literal["good", "quiet", "bad", "busy"]
_TONES: dict[Outcome, Tone] = {Outcome.PRUNED: "good", Outcome.FAILED: "bad", Outcome.END_NOT_KNOWN: "bad"}
_SHOWN_JSON_CHARACTERS = 2000
"""Of a report that cannot be read."""
_NOT_KNOWN = "–"
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
class Phase:
    """How long a task took. ``seconds`` is for the length of its bar."""

    task: str
    seconds: float
    text: str


@dataclass(frozen=True)
class RunView:
    """One run on the page; all texts are plain, for the template to escape.

    :param outcome: in one word or two.
    :param lines: label and text: those of the report, or why there is none to show.
    :param orphans: of the report's lines, for the overview; likewise ``deleted`` and ``read_only``.
    :param unread: the stored report as it is, if it cannot be read.
    :param reported: whether there is a report that could be read.
    :param in_airflow: whether Airflow still has a page of the run.
    """

    run_id: str
    started: str
    took: str
    outcome: str
    tone: Tone
    lines: tuple[tuple[str, str], ...] = ()
    failed_tasks: tuple[str, ...] = ()
    orphans: str = _NOT_KNOWN
    deleted: str = _NOT_KNOWN
    read_only: str = _NOT_KNOWN
    phases: tuple[Phase, ...] = ()
    unread: str = ""
    reported: bool = False
    in_airflow: bool = True


@dataclass(frozen=True)
class ClusterView:
    """One cluster on the page.

    :param dag_id: of its DAG.
    :param schedule: in Airflow's words; empty if it runs only by hand.
    :param notes: what cannot be shown, and why.
    """

    dag_id: str
    schedule: str
    paused: bool
    runs: tuple[RunView, ...] = field(default=())
    notes: tuple[str, ...] = ()

    @property
    def last(self) -> RunView | None:
        """The newest run that has a report."""
        return next((run for run in self.runs if run.reported), None)

    @property
    def last_prune(self) -> RunView | None:
        """The newest run that pruned, among those shown."""
        return next((run for run in self.runs if run.tone == "good"), None)


def view_runs(runs: Iterable[StoredRun]) -> tuple[RunView, ...]:
    """The runs in the order given."""
    return tuple(map(view_run, runs))


def view_run(run: StoredRun) -> RunView:
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


def _without_report(run: StoredRun) -> RunView:
    if run.ended_at is None:
        why = "not ended yet" if run.started_at else "not begun yet"
        return RunView(run.run_id, _time(run.started_at), "", run.state, "busy", ((BECAUSE, why),))
    why = "it left no report: see the log of the task report"
    return RunView(run.run_id, _time(run.started_at), _took(run), f"{run.state}, no report", "bad", ((BECAUSE, why),))


def _unread(run: StoredRun, why: str) -> RunView:
    text = json.dumps(run.report, indent=1, ensure_ascii=False, default=str)
    shown = text if len(text) <= _SHOWN_JSON_CHARACTERS else f"{text[:_SHOWN_JSON_CHARACTERS]} …"
    outcome = f"{run.state}, unreadable report"
    return RunView(run.run_id, _time(run.started_at), _took(run), outcome, "bad", ((BECAUSE, why),), unread=shown)


def _with_report(run: StoredRun, report: RunReport) -> RunView:
    # Somebody may have cleared tasks of an old run: then its report is the earlier one.
    busy = run.in_airflow and run.ended_at is None
    texts = dict(report.lines)
    return RunView(
        run_id=run.run_id,
        started=_time(run.started_at),
        took=_took(run),
        outcome=f"{run.state}, before: {report.outcome}" if busy else str(report.outcome),
        tone="busy" if busy else _TONES.get(report.outcome, "quiet"),
        lines=report.lines,
        failed_tasks=report.failed_tasks,
        orphans=texts.get(ORPHANS, _NOT_KNOWN),
        deleted=texts.get(DELETED, _NOT_KNOWN),
        read_only=texts.get(READ_ONLY, _NOT_KNOWN),
        phases=tuple(Phase(task, seconds, format_seconds(seconds)) for task, seconds in report.phases.items()),
        reported=True,
        in_airflow=run.in_airflow,
    )


def _time(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else ""


def _took(run: StoredRun) -> str:
    if run.started_at is None or run.ended_at is None:
        return ""
    return format_seconds((run.ended_at - run.started_at).total_seconds())
