from __future__ import annotations

import json
from typing import Any

import pytest

from local_airflow.errors import LocalAirflowError
from local_airflow.report import ERROR_LINES, RunReport, failures, render, size_text
from local_airflow.rest import AirflowApi, LogLine, LogPage, TaskInstance

PRUNED = {
    "version": 1,
    "run_id": "manual__1",
    "cluster": "default",
    "outcome": "pruned",
    "reasons": ["3,000 blobs are at least 1,000"],
    "orphaned_blobs": 3000,
    "orphaned_bytes": 13_000_000,
    "deleted_blobs": 3000,
    "freed_bytes": 13_000_000,
    "read_only_seconds": 4.21,
    "broken_before": 0,
    "broken_after": 0,
    "phases": {"verify_access": 0.5, "hard_prune": 63.0},
    "failed_tasks": [],
}


def report(**changes: Any) -> RunReport:
    return RunReport.from_xcom({**PRUNED, **changes})


def test_report_is_an_aligned_block() -> None:
    assert render(report()) == (
        "Report\n"
        "  cluster           default\n"
        "  run               manual__1\n"
        "  outcome           pruned\n"
        "  because           3,000 blobs are at least 1,000\n"
        "  orphans found     3,000 blobs, about 12.4 MiB\n"
        "  deleted           3,000 blobs\n"
        "  freed             about 12.4 MiB\n"
        "  read-only for     4.2 s\n"
        "  integrity before  every image is whole\n"
        "  integrity after   every image is whole\n"
        "  where the time went\n"
        "    verify_access         0.5 s\n"
        "    hard_prune       1 min 03 s"
    )


def test_what_the_delete_did_stands_beside_what_was_expected() -> None:
    found = {"candidates": 3000, "deleted": 2999, "unlisted": 1, "problem": ""}
    text = render(report(delete_seconds=63.0, estimated_delete_seconds=50.0, reconciliation=found))
    assert "reconciled        2,999 of 3,000 candidates deleted, and 1 that were none" in text
    assert "delete took       1 min 03 s, estimated 50.0 s" in text
    assert "reconciled        not known: the list is gone" in render(
        report(reconciliation={"problem": "the list is gone"})
    )


def test_builds_that_were_hit_and_ceilings_that_were_passed_are_named() -> None:
    text = render(report(builds_hit=2, builds_hit_names=["shop/web-1", "shop/web-2"]))
    assert "builds hit        2: shop/web-1, shop/web-2" in text
    text = render(report(passed_ceilings=["orphan_share"], passed_by="ann"))
    assert "ceilings passed   orphan_share, by ann" in text


def test_what_was_not_looked_at_is_not_shown_as_zero() -> None:
    names = ("orphaned_blobs", "orphaned_bytes", "deleted_blobs", "freed_bytes")
    more = ("read_only_seconds", "broken_before", "broken_after")
    text = render(report(**dict.fromkeys((*names, *more))))
    assert text.count("not looked at") == 6
    assert "every image is whole" not in text


def test_tasks_that_did_nothing_took_no_time() -> None:
    assert "where the time went" not in render(report(phases={"hard_prune": 0.0}))


def test_broken_images_and_failed_tasks_stand_out() -> None:
    text = render(report(broken_after=2, failed_tasks=["hard_prune", "integrity_after"]))
    assert "integrity after   2 broken" in text
    assert "failed            hard_prune, integrity_after" in text


def test_report_may_come_as_text_and_with_more_than_is_known() -> None:
    value = json.dumps({**PRUNED, "base_prune": "deleted 3 objects", "something_new": 1})
    assert "base prune        deleted 3 objects" in render(RunReport.from_xcom(value))


def test_long_text_is_wrapped_and_a_path_is_not() -> None:
    path = "/" + "x" * 200
    text = render(report(base_prune="deleted " * 20, artifact=f"file://{path}"))
    assert "\n                    deleted deleted" in text
    assert path in text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "left no report"),
        ("{", "left no JSON"),
        ({**PRUNED, "version": 2}, "version 2; this tool reads version 1"),
        ({"version": 1, "run_id": "x"}, "lacks cluster, outcome"),
    ],
)
def test_what_is_no_report_is_refused(value: Any, message: str) -> None:
    with pytest.raises(LocalAirflowError, match=message):
        RunReport.from_xcom(value)


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "not looked at"), (0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (5 * 2**50, "5,120.0 TiB")],
)
def test_sizes_for_people(size: int | None, text: str) -> None:
    assert size_text(size) == text


class FakeApi(AirflowApi):
    def __init__(self, state: str, lines: list[LogLine]) -> None:
        self._task = TaskInstance("hard_prune", -1, state, 2, None, 1.0)
        self._lines = lines

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        return [self._task]

    def log(self, dag_id: str, run_id: str, task: TaskInstance, continuation: str | None = None) -> LogPage:
        return LogPage(self._lines, ["/state/logs/attempt=2.log", "Could not read served logs"], None)


def test_failed_task_is_shown_with_its_errors_and_its_log() -> None:
    lines = [
        LogLine("Deleting blob: sha256:1", "info"),
        LogLine("operation not permitted", "error"),
        LogLine(
            "Task failed with exception", "error", ["PruneError: exit status 1\nDeleted 8 blobs", "OSError: cause"]
        ),
    ]
    assert failures(FakeApi("failed", lines), "dag", "run") == (
        "  hard_prune failed, try 2:\n"
        "    operation not permitted\n"
        "    PruneError: exit status 1\n"
        "    Deleted 8 blobs\n"
        "    log: /state/logs/attempt=2.log"
    )


def test_only_the_last_errors_are_shown() -> None:
    lines = [LogLine(f"error {number}", "error") for number in range(100)]
    shown = failures(FakeApi("failed", lines), "dag", "run")
    assert shown.count("error") == ERROR_LINES
    assert "error 99" in shown


def test_task_that_was_killed_has_no_error_in_its_log() -> None:
    assert "no error in its log" in failures(FakeApi("failed", []), "dag", "run")


def test_nothing_is_shown_of_a_run_without_failures() -> None:
    assert failures(FakeApi("success", [LogLine("odd", "error")]), "dag", "run") == ""
