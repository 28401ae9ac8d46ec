"""What the page shows of a run: its report, the lack of one, or why it cannot be read."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.page.view import RunDetail, StoredRun, view_run, view_runs, with_kept
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


def view(**changes: Any) -> RunDetail:
    return view_run(stored({**REPORT.to_json(), **changes}))


def test_a_report_in_full() -> None:
    shown = view()
    run = shown.run
    assert (run.outcome, run.tone, run.started_at, run.why) == ("pruned", "good", BEGAN, "3,214 orphaned blobs ≥ 1,000")
    assert (run.orphaned_blobs, run.freed_bytes, run.read_only_seconds) == (3214, 6159335, 131.4)
    assert (shown.broken_before, shown.broken_after, shown.builds_hit) == (0, 0, None)
    assert shown.lines == REPORT.lines
    assert shown.phases == (("dry_run", 1.5), ("hard_prune", 12.25))


@pytest.mark.parametrize(
    ("outcome", "tone"),
    [
        ("pruned", "good"),
        ("slice", "good"),
        ("failed", "bad"),
        ("not worth it", "quiet"),
        ("dry run", "quiet"),
        ("no hard prune", "quiet"),
        ("end not known", "bad"),
    ],
)
def test_every_outcome_has_its_tone(outcome: str, tone: str) -> None:
    assert view(outcome=outcome).run.tone == tone


def test_what_was_not_looked_at_is_not_shown_as_nothing() -> None:
    shown = view(orphaned_blobs=None, deleted_blobs=0).run
    assert (shown.orphaned_blobs, shown.deleted_blobs) == (None, 0)


@pytest.mark.parametrize("field", ["read_only_seconds", "phases"])
@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_figure_that_json_does_not_have_is_no_report(field: str, figure: float) -> None:
    """Guards the answer as a whole: it could not be sent."""
    shown = view(**{field: {"dry_run": figure} if field == "phases" else figure})
    assert not shown.run.reported
    assert "figures that make no sense" in shown.run.why


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
    assert (shown.run.outcome, shown.lines, shown.run.reported) == (outcome, (("because", why),), False)


def test_a_run_that_was_cleared_and_works_again_is_not_shown_as_ended() -> None:
    shown = view_run(stored(REPORT.to_json(), state="running", ended_at=None))
    assert (shown.run.outcome, shown.run.tone) == ("running, before: pruned", "busy")


def test_an_unreadable_report_is_shown_in_part() -> None:
    shown = view_run(stored({"version": 1, "text": "x" * 10_000}))
    assert shown.run.tone == "bad"
    assert not shown.run.reported
    assert 100 < len(shown.unread) < 2100


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
        assert shown.run.outcome
        assert shown.run.reported or shown.lines
        json.dumps(asdict(shown), default=str, allow_nan=False)


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
    (_, _, _, _, forgotten) = view_runs(found)
    assert (forgotten.outcome, forgotten.in_airflow, forgotten.due_at) == ("pruned", False, due(2))
