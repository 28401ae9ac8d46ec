from __future__ import annotations

import json
from typing import Any

import pytest

from local_airflow.commands.report import ERROR_LINES, RunReport, failures, render, size_text
from local_airflow.errors import LocalAirflowError
from local_airflow.instance.rest import AirflowApi, LogLine, LogPage, TaskInstance

PRUNED = {
    "version": 3,
    "run_id": "manual__1",
    "cluster": "default",
    "outcome": "pruned",
    "lines": [
        ["because", "3,000 blobs are at least 1,000"],
        ["because", "the window was approved by ada"],
        ["orphans found", "3,000 blobs, about 12.4 MiB"],
        ["read-only", "4.2 s"],
    ],
    "phases": {"verify_access": 0.5, "hard_prune": 63.0},
}


def report(**changes: Any) -> RunReport:
    return RunReport.from_xcom({**PRUNED, **changes})


def test_report_is_an_aligned_block() -> None:
    assert render(report()) == (
        "Report\n"
        "  cluster        default\n"
        "  run            manual__1\n"
        "  outcome        pruned\n"
        "  because        3,000 blobs are at least 1,000\n"
        "                 the window was approved by ada\n"
        "  orphans found  3,000 blobs, about 12.4 MiB\n"
        "  read-only      4.2 s\n"
        "  where the time went\n"
        "    verify_access         0.5 s\n"
        "    hard_prune       1 min 03 s"
    )


def test_tasks_that_did_nothing_took_no_time() -> None:
    assert "where the time went" not in render(report(phases={"hard_prune": 0.0}))


def test_report_may_come_as_text_and_with_more_than_is_known() -> None:
    value = json.dumps({**PRUNED, "lines": [["base prune", "deleted 3 objects"]], "something_new": 1})
    assert "base prune  deleted 3 objects" in render(RunReport.from_xcom(value))


def test_long_text_is_wrapped_and_a_path_is_not() -> None:
    path = "/" + "x" * 200
    text = render(report(lines=[["base prune", "deleted " * 20], ["list of candidates", f"file://{path}"]]))
    assert "\n                      deleted deleted" in text
    assert f"list of candidates  {path}" in text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "left no report"),
        ("{", "left no JSON"),
        ({**PRUNED, "version": 1}, "version 1; this tool reads version 3"),
        ({"version": 3, "run_id": "x"}, "lacks cluster, outcome"),
    ],
)
def test_what_is_no_report_is_refused(value: Any, message: str) -> None:
    with pytest.raises(LocalAirflowError, match=message):
        RunReport.from_xcom(value)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (5 * 2**50, "5,120.0 TiB")]
)
def test_sizes_for_people(size: int, text: str) -> None:
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
