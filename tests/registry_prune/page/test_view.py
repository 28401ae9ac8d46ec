"""What the page shows of a run: its report, the lack of one, or why it cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from include.registry_prune.report.view import ClusterView, RunView, StoredRun, view_run, view_runs, with_kept

from include.registry_prune.report.report import Outcome, RunReport

BEGAN = datetime(2026, 1, 1, 3, 15, tzinfo=UTC)
REPORT = RunReport(
    run_id="scheduled__1",
    cluster="berlin",
    outcome=Outcome.PRUNED,
    lines=(
        ("because", "3,214 orphaned blobs ≥ 1,000"),
        ("orphans found", "3,214 blobs, about 5.874 MiB"),
        ("deleted", "3,214 blobs, about 5.874 MiB"),
        ("read-only", "2 min 11 s"),
        ("list of candidates", "/lists/dry_run"),
    ),
    reasons=("3,214 orphaned blobs ≥ 1,000",),
    base_prune="deleted 3 images",
    orphaned_blobs=3214,
    orphaned_bytes=6159335,
    deleted_blobs=3214,
    freed_bytes=6159335,
    read_only_seconds=131.4,
    broken_before=0,
    broken_after=0,
    artifact="/lists/dry_run",
    phases={"dry_run": 1.5, "hard_prune": 12.25},
)


def stored(report: Any = None, **changes: Any) -> StoredRun:
    """A run of five minutes that has ended."""
    facts = {
        "run_id": "scheduled__1",
        "state": "success",
        "started_at": BEGAN,
        "ended_at": BEGAN + timedelta(minutes=5),
    }
    return StoredRun(**{**facts, **changes}, report=report)


def view(**changes: Any) -> RunView:
    return view_run(stored({**REPORT.to_json(), **changes}))


def test_a_report_in_full() -> None:
    shown = view()
    assert (shown.outcome, shown.tone, shown.started, shown.took) == (
        "pruned",
        "good",
        "2026-01-01 03:15 UTC",
        "5 min 00 s",
    )
    assert (shown.orphans, shown.deleted, shown.read_only) == (
        "3,214 blobs, about 5.874 MiB",
        "3,214 blobs, about 5.874 MiB",
        "2 min 11 s",
    )
    assert shown.lines == REPORT.lines
    assert [(phase.task, phase.text) for phase in shown.phases] == [("dry_run", "1.5 s"), ("hard_prune", "12 s")]


@pytest.mark.parametrize(
    ("outcome", "tone"),
    [
        ("pruned", "good"),
        ("failed", "bad"),
        ("not worth it", "quiet"),
        ("dry run", "quiet"),
        ("no hard prune", "quiet"),
        ("end not known", "bad"),
    ],
)
def test_every_outcome_has_its_tone(outcome: str, tone: str) -> None:
    assert view(outcome=outcome).tone == tone


def test_a_line_that_a_report_lacks_is_not_shown_as_nothing() -> None:
    shown = view(lines=[["because", "it failed early"]])
    assert {shown.orphans, shown.deleted, shown.read_only} == {"–"}


@pytest.mark.parametrize(
    ("changes", "outcome", "why"),
    [
        ({"state": "queued", "started_at": None, "ended_at": None}, "queued", "not begun yet"),
        ({"state": "running", "ended_at": None}, "running", "not ended yet"),
        ({"state": "failed"}, "failed, no report", "it left no report: see the log of the task report"),
    ],
)
def test_a_run_without_a_report(changes: dict[str, Any], outcome: str, why: str) -> None:
    shown = view_run(stored(**changes))
    assert (shown.outcome, shown.lines, shown.reported) == (outcome, (("because", why),), False)


def test_a_run_that_was_cleared_and_works_again_is_not_shown_as_ended() -> None:
    shown = view_run(stored(REPORT.to_json(), state="running", ended_at=None))
    assert (shown.outcome, shown.tone, shown.took) == ("running, before: pruned", "busy", "")


def test_times_are_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert view_run(stored(started_at=BEGAN.astimezone(berlin))).started == "2026-01-01 03:15 UTC"


def test_an_unreadable_report_is_shown_in_part() -> None:
    shown = view_run(stored({"version": 1, "text": "x" * 10_000}))
    assert shown.tone == "bad"
    assert not shown.reported
    assert 100 < len(shown.unread) < 2100


def test_a_cluster_tells_its_last_report_and_its_last_prune() -> None:
    runs = (
        stored(run_id="4", state="running", ended_at=None),
        stored({**REPORT.to_json(), "outcome": "not worth it"}, run_id="3"),
        stored(REPORT.to_json(), run_id="2"),
        stored(REPORT.to_json(), run_id="1"),
    )
    cluster = ClusterView(dag_id="registry_prune", schedule="", paused=False, runs=view_runs(runs))
    assert cluster.last is not None
    assert cluster.last_prune is not None
    assert (cluster.last.run_id, cluster.last_prune.run_id) == ("3", "2")
    empty = ClusterView(dag_id="registry_prune", schedule="", paused=False)
    assert (empty.last, empty.last_prune) == (None, None)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(report=anything, field=st.sampled_from(sorted(RunReport.model_fields)), value=anything)
def test_no_report_breaks_the_page(report: Any, field: str, value: Any) -> None:
    """Guards the page of all clusters against one stored value."""
    for each in (report, {**REPORT.to_json(), field: value}):
        shown = view_run(stored(each))
        assert shown.outcome
        assert shown.reported or shown.lines


def test_runs_of_airflow_and_kept_reports_are_one_list_in_order_of_time() -> None:
    def due(day: int) -> datetime:
        return BEGAN + timedelta(days=day)

    kept = [REPORT.model_copy(update={"run_id": str(day), "run_after": due(day)}) for day in (5, 3, 2, 1)]
    in_airflow = [
        stored(run_id="6", started_at=None, ended_at=None, state="queued", due_at=due(6)),
        stored({"version": 3}, run_id="5", due_at=due(5)),
        stored({"what": "Airflow has"}, run_id="4", due_at=due(4)),
        stored(run_id="3", due_at=due(3)),
    ]
    found = with_kept(in_airflow, kept, most=5)
    assert [(run.run_id, run.in_airflow) for run in found] == [
        ("6", True), ("5", True), ("4", True), ("3", True), ("2", False),
    ]  # fmt: skip
    assert [run.report for run in found[:4]] == [None, kept[0].to_json(), {"what": "Airflow has"}, kept[1].to_json()]
    assert view_run(found[4]).outcome == "pruned"
    assert not view_run(found[4]).in_airflow
