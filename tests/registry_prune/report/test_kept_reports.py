"""The reports of earlier runs, in a folder and in what is like a bucket."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from include.registry_prune.report.kept_reports import (
    KeptReports,
    ReportsError,
    keep_report,
    kept_reports,
    remove_reports,
    report_folder,
)
from include.registry_prune.report.report import Outcome, RunReport, past_run
from include.registry_prune.verdict.decision import Action

DAG_ID = "registry_prune"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What the setting ``artifacts`` says."""
    attach("memory", fs=MemoryFileSystem())
    return tmp_path.as_uri() if request.param == "file" else f"memory://bucket{tmp_path}"


def report(day: int = 0, **changes: Any) -> RunReport:
    due = NOON + timedelta(days=day)
    facts = {"run_id": f"scheduled__{due.isoformat()}", "dag_id": DAG_ID, "run_after": due, "cluster": "berlin"}
    return RunReport(**{"outcome": Outcome.PRUNED, **facts, **changes})


def put(place: str, name: str, content: str) -> ObjectStoragePath:
    path = report_folder(place, DAG_ID) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_before_the_first_run_there_are_none(place: str) -> None:
    assert kept_reports(place, DAG_ID, newest=20) == KeptReports()


def test_the_newest_come_first_however_their_runs_are_called(place: str) -> None:
    """Guards the name of the file: `manual__` would come before `scheduled__` whatever the time."""
    days = [report(2), report(0, run_id="scheduled__x"), report(1, run_id="manual__y"), report(3, run_id="a/b c")]
    for each in days:
        keep_report(each, place)
    kept = kept_reports(place, DAG_ID, newest=3)
    assert kept == KeptReports((days[3], days[0], days[2]))


def test_a_run_that_reports_again_replaces_its_report(place: str) -> None:
    keep_report(report(outcome=Outcome.FAILED), place)
    keep_report(report(), place)
    assert kept_reports(place, DAG_ID, newest=20).reports == (report(),)


def test_the_reports_of_another_cluster_are_others(place: str) -> None:
    keep_report(report(dag_id="registry_prune_hamburg"), place)
    assert kept_reports(place, DAG_ID, newest=20) == KeptReports()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it is no JSON"),
        (report().model_dump_json()[:-9], "it is no JSON"),
        ("[]", "the whole: Input should be a valid dictionary"),
        ('{"version": 3, "run_id": "x"}', "cluster: Field required"),
        (json.dumps(report().to_json() | {"version": 99}), "version: Input should be 3"),
        ("[" * 100_000, "it is no JSON"),
    ],
)
def test_a_damaged_report_is_passed_over_and_named(place: str, content: str, problem: str) -> None:
    keep_report(report(0), place)
    keep_report(report(2), place)
    path = put(place, "20260102T120000Z-damaged.json", content)
    kept = kept_reports(place, DAG_ID, newest=20)
    assert kept.reports == (report(2), report(0))
    (said,) = kept.damaged
    assert said.startswith(f"{path}: ")
    assert problem in said


def test_what_is_no_report_by_its_name_is_left_alone(place: str) -> None:
    keep_report(report(), place)
    for name in (".20260101T120000Z-x.json.17.draft", "readme.txt", "20260101T120000Z-x.json.bak"):
        put(place, name, "anything")
    assert kept_reports(place, DAG_ID, newest=20) == KeptReports((report(),))
    assert remove_reports(place, DAG_ID, before=NOON + timedelta(days=365)) == 1
    assert len(list(report_folder(place, DAG_ID).iterdir())) == 3


def test_whoever_reads_finds_the_earlier_report_or_the_new_one_and_never_a_part(tmp_path: Path) -> None:
    """Guards the draft: a file that is written in its own place is empty for a while."""
    place, ended = tmp_path.as_uri(), threading.Event()
    two = [report(lines=(("because", letter * 200_000),)) for letter in "ab"]
    keep_report(two[0], place)
    seen: list[KeptReports] = []

    def read() -> None:
        while not ended.is_set() or len(seen) < 20:
            seen.append(kept_reports(place, DAG_ID, newest=20))

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(100):
        keep_report(two[number % 2], place)
    ended.set()
    thread.join()
    assert all(kept.damaged == () and kept.reports[0] in two for kept in seen)
    assert [path.name for path in report_folder(place, DAG_ID).iterdir()] == [
        "20260101T120000Z-scheduled__2026-01-01T12_00_00+00_00.json"
    ]


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no folder")
    place = in_the_way.as_uri()
    with pytest.raises(ReportsError, match=r"The report cannot be kept at file://.*/file/reports/registry_prune"):
        keep_report(report(), place)
    with pytest.raises(ReportsError, match=r"The reports at file://.*/file/reports/registry_prune cannot be read"):
        kept_reports(place, DAG_ID, newest=20)


def test_reports_of_runs_before_a_time_are_removed(place: str) -> None:
    for day in range(5):
        keep_report(report(day), place)
    assert remove_reports(place, DAG_ID, before=NOON + timedelta(days=3)) == 3
    assert kept_reports(place, DAG_ID, newest=20).reports == (report(4), report(3))
    assert remove_reports(place, DAG_ID, before=NOON) == 0


VERSION_2 = {
    "version": 2, "run_id": "scheduled__1", "cluster": "berlin", "outcome": "pruned", "lines": [["because", "why"]],
    "reasons": ["why"], "orphaned_blobs": 3214, "deleted_blobs": 3214, "read_only_seconds": 131.4, "cluster_id": "b1",
    "scan_seconds": 3.0, "delete_seconds": 11.5, "phases": {"dry_run": 1.5}, "failed_tasks": [],
}  # fmt: skip
VERSION_1 = {key: value for key, value in VERSION_2.items() if key != "lines"} | {"version": 1}


@pytest.mark.parametrize("stored", [VERSION_1, VERSION_2], ids=["0.1.0", "2"])
def test_a_report_of_an_older_version_is_read(place: str, stored: dict[str, Any]) -> None:
    put(place, "20260101T120000Z-scheduled__1.json", json.dumps(stored))
    kept = kept_reports(place, DAG_ID, newest=20)
    assert kept.damaged == ()
    (read,) = kept.reports
    assert (read.version, read.orphaned_blobs, read.lines[0]) == (3, 3214, ("because", "why"))
    assert past_run(read).orphaned_blobs == 3214, "later runs compare with it"


def test_a_report_of_0_1_0_shows_its_figures_although_it_carried_no_text() -> None:
    assert RunReport.from_json(VERSION_1).lines == (
        ("because", "why"),
        ("orphaned blobs", "3,214"),
        ("deleted blobs", "3,214"),
        ("read only seconds", "131.4"),
    )


def test_a_run_without_a_verdict_says_nothing_to_later_ones() -> None:
    assert past_run(report(orphaned_blobs=7)).orphaned_blobs is None
    assert past_run(report(orphaned_blobs=7, verdict=Action.SKIP)).orphaned_blobs == 7
