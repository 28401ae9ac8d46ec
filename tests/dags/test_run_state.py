"""What decides the run's state: the real DAG, with one failure (or two) injected into played steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from include.registry_prune.verdict.decision import Verdict
from tests.dags.played_run import NOT_NOW, SKIP, STOP, PlayedRun, always, play
from tests.run_tasks import IN_ORDER

INSIDE_WINDOW = ("set_read_only", "dry_run", "blob_threshold", "hard_prune")
LAST_LOOK = ("verify_restored", "remove_deleted")
AFTER_RESTORE = ("reconcile", "integrity_after", *LAST_LOOK)
NO_WINDOW = ("right_moment", "arm_window", *INSIDE_WINDOW, "restore_read_write", "reconcile", "integrity_after")
QUIET_DAY = ("survey_gate", "integrity_before", "approve_window", *NO_WINDOW)


def between(first: str, last: str) -> tuple[str, ...]:
    """The tasks from one to another, both included."""
    return IN_ORDER[IN_ORDER.index(first) : IN_ORDER.index(last) + 1]


@dataclass(frozen=True)
class Row:
    """One thing that may happen to a run, and what the run must look like then.

    :param failed: tasks that are played to fail, and must end as failed.
    :param verdicts: what the gates say.
    :param conf: what the user switched off; the tasks that it concerns are the real ones.
    :param run: the run's state.
    :param skipped: tasks that must end as skipped; likewise ``upstream_failed``. All others must end as success.
    :param outcome: what the report must call the run; None if there is no report.
    """

    run: str
    failed: tuple[str, ...] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    conf: Mapping[str, Any] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    upstream_failed: tuple[str, ...] = ()
    outcome: str | None = "failed"

    def tasks(self) -> dict[str, str]:
        """The state that each task must end in."""
        return (
            dict.fromkeys(IN_ORDER, "success")
            | dict.fromkeys(self.skipped, "skipped")
            | dict.fromkeys(self.upstream_failed, "upstream_failed")
            | dict.fromkeys(self.failed, "failed")
        )


BEFORE_THE_WINDOW = {
    # Nothing was begun, so nothing is to be put back.
    "verify_access fails": Row("failed", ("verify_access",), upstream_failed=between("base_prune", "remove_deleted")),
    # From here on a grant is taken away, if there is one.
    "base_prune fails": Row(
        "failed", ("base_prune",), upstream_failed=(*between("restart_registry", "integrity_after"), *LAST_LOOK)
    ),
    "restart_registry fails": Row(
        "failed",
        ("restart_registry",),
        upstream_failed=(*between("grant_image_pruner", "integrity_after"), *LAST_LOOK),
    ),
    "grant_image_pruner fails": Row(
        "failed", ("grant_image_pruner",), upstream_failed=(*between("survey", "integrity_after"), *LAST_LOOK)
    ),
    "survey fails": Row(
        "failed", ("survey",), upstream_failed=(*between("survey_gate", "integrity_after"), *LAST_LOOK)
    ),
    "survey_gate fails": Row(
        "failed", ("survey_gate",), upstream_failed=(*between("integrity_before", "integrity_after"), *LAST_LOOK)
    ),
    "survey_gate says stop": Row(
        "failed",
        ("survey_gate",),
        verdicts={"survey_gate": STOP},
        upstream_failed=(*between("integrity_before", "integrity_after"), *LAST_LOOK),
    ),
    "integrity_before fails": Row(
        "failed",
        ("integrity_before",),
        upstream_failed=(*between("approve_window", "integrity_after"), *LAST_LOOK),
    ),
    "approve_window fails": Row(
        "failed", ("approve_window",), upstream_failed=(*between("right_moment", "integrity_after"), *LAST_LOOK)
    ),
    "right_moment fails": Row(
        "failed", ("right_moment",), upstream_failed=(*between("arm_window", "integrity_after"), *LAST_LOOK)
    ),
    "right_moment says stop": Row(
        "failed",
        ("right_moment",),
        verdicts={"right_moment": STOP},
        upstream_failed=(*between("arm_window", "integrity_after"), *LAST_LOOK),
    ),
    "arm_window fails": Row(
        "failed", ("arm_window",), upstream_failed=(*between("set_read_only", "integrity_after"), *LAST_LOOK)
    ),
}
INSIDE_THE_WINDOW = {
    "set_read_only fails after arm_window succeeded": Row(
        "failed", ("set_read_only",), upstream_failed=("dry_run", "blob_threshold", "hard_prune")
    ),
    "dry_run fails": Row("failed", ("dry_run",), upstream_failed=("blob_threshold", "hard_prune")),
    "blob_threshold fails": Row("failed", ("blob_threshold",), upstream_failed=("hard_prune",)),
    "blob_threshold says stop": Row(
        "failed", ("blob_threshold",), verdicts={"blob_threshold": STOP}, upstream_failed=("hard_prune",)
    ),
    "hard_prune fails": Row("failed", ("hard_prune",)),
}
AFTER_THE_WINDOW = {
    "restore_read_write fails, it alone": Row("failed", ("restore_read_write",), upstream_failed=AFTER_RESTORE),
    "integrity_after fails": Row("failed", ("integrity_after",), upstream_failed=("remove_deleted",)),
    "reconcile fails": Row("failed", ("reconcile",), upstream_failed=("remove_deleted",)),
    "remove_deleted fails": Row("failed", ("remove_deleted",)),
    "revoke_image_pruner fails, it alone": Row(
        "failed", ("revoke_image_pruner",), upstream_failed=("verify_restored",)
    ),
    "verify_restored fails": Row("failed", ("verify_restored",)),
    "report fails": Row("success", ("report",), outcome=None),
}
TWO_AT_ONCE = {
    "hard_prune and restore_read_write fail": Row(
        "failed", ("hard_prune", "restore_read_write"), upstream_failed=AFTER_RESTORE
    ),
    "set_read_only and restore_read_write fail": Row(
        "failed",
        ("set_read_only", "restore_read_write"),
        upstream_failed=("dry_run", "blob_threshold", "hard_prune", *AFTER_RESTORE),
    ),
    "restore_read_write and revoke_image_pruner fail": Row(
        "failed", ("restore_read_write", "revoke_image_pruner"), upstream_failed=AFTER_RESTORE
    ),
    "hard_prune and verify_restored fail": Row("failed", ("hard_prune", "verify_restored")),
    "hard_prune and report fail": Row("failed", ("hard_prune", "report"), outcome=None),
    "blob_threshold skips and restore_read_write fails": Row(
        "failed",
        ("restore_read_write",),
        verdicts={"blob_threshold": SKIP},
        skipped=("blob_threshold", "hard_prune"),
        upstream_failed=AFTER_RESTORE,
    ),
    "survey_gate skips and revoke_image_pruner fails": Row(
        "failed",
        ("revoke_image_pruner",),
        verdicts={"survey_gate": SKIP},
        skipped=QUIET_DAY,
        upstream_failed=("verify_restored",),
    ),
    "survey_gate skips and verify_restored fails": Row(
        "failed", ("verify_restored",), verdicts={"survey_gate": SKIP}, skipped=QUIET_DAY
    ),
}
NOTHING_FAILS = {
    "all goes well": Row("success", outcome="pruned"),
    "survey_gate skips": Row("success", verdicts={"survey_gate": SKIP}, skipped=QUIET_DAY, outcome="not worth it"),
    "blob_threshold skips": Row(
        "success",
        verdicts={"blob_threshold": SKIP},
        skipped=("blob_threshold", "hard_prune"),
        outcome="not worth it",
    ),
    "right_moment skips": Row("success", verdicts={"right_moment": NOT_NOW}, skipped=NO_WINDOW, outcome="postponed"),
    "approve_window is switched off": Row("success", own=("approve_window",), outcome="pruned"),
    "base_prune is switched off": Row(
        "success", conf={"base_prune": False}, own=("base_prune", "restart_registry"), outcome="pruned"
    ),
    "survey is switched off": Row("success", conf={"survey": False}, own=("survey",), outcome="pruned"),
    "all is switched off": Row(
        "success",
        conf={"survey": False, "base_prune": False, "integrity_check": False, "hard_prune": "never"},
        own=("base_prune", "restart_registry", "grant_image_pruner", "survey", "survey_gate"),
        skipped=QUIET_DAY,
        outcome="no hard prune",
    ),
}
TABLE = BEFORE_THE_WINDOW | INSIDE_THE_WINDOW | AFTER_THE_WINDOW | TWO_AT_ONCE | NOTHING_FAILS
EXECUTED = (
    "survey_gate says stop",
    "hard_prune fails",
    "report fails",
    "hard_prune and restore_read_write fail",
    "hard_prune and report fail",
    *NOTHING_FAILS,
)
"""One for each way in which a task ends: here Airflow executes every task."""


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_the_run_ends_as_it_must(dag: DAG, row: Row) -> None:
    assert_ends_as_it_must(dag, row, executed=False)


@pytest.mark.parametrize("row", map(TABLE.__getitem__, EXECUTED), ids=EXECUTED)
def test_the_run_ends_so_too_where_airflow_executes_each_task(dag: DAG, row: Row) -> None:
    """Guards the test above, which takes a task's end as given."""
    assert_ends_as_it_must(dag, row, executed=True)


def assert_ends_as_it_must(dag: DAG, row: Row, *, executed: bool) -> None:
    played_to_fail = set(row.failed) - set(row.verdicts)
    verdicts: dict[str, Callable[[], Verdict]] = {gate: always(verdict) for gate, verdict in row.verdicts.items()}
    run = play(dag, failing=played_to_fail, steps=verdicts, own=row.own, conf=row.conf, executed=executed)

    assert run.tasks == row.tasks()
    assert run.state == row.run
    assert_reported(run, row)
    assert_safe(run)


def assert_reported(run: PlayedRun, row: Row) -> None:
    """The report, if there is one, calls the run what it was, and names what failed and nothing else."""
    report = run.results.get("report")
    assert (report and report["outcome"]) == row.outcome
    if report:
        assert report["failed_tasks"] == [task for task in IN_ORDER if task in row.failed]


def assert_safe(run: PlayedRun) -> None:
    """What holds in every run, whatever happened."""
    started = set(run.ran)
    assert started == {task for task, state in run.tasks.items() if state in ("success", "failed")} | (
        started & {"survey_gate", "right_moment", "blob_threshold"}
    ), "a task's state does not say whether its work was started"
    assert "report" in started
    window_armed = run.tasks["arm_window"] == "success"
    assert ("restore_read_write" in started) == window_armed
    # Also where the grant failed: its binding may have been made before.
    assert ("revoke_image_pruner" in started) == (run.tasks["verify_access"] == "success")
    gates_passed = run.tasks["survey_gate"] == run.tasks["blob_threshold"] == "success"
    assert "hard_prune" not in started or (gates_passed and run.tasks["set_read_only"] == "success")
    assert run.ran.index("report") == len(run.ran) - 1


def test_a_delete_that_takes_too_long_ends_and_the_registry_is_put_back(dag: DAG) -> None:
    dag.get_task("hard_prune").execution_timeout = timedelta(seconds=0.2)
    run = play(dag, steps={"hard_prune": lambda: threading.Event().wait(60)})
    assert run.tasks == Row("failed", ("hard_prune",)).tasks()
    assert run.state == "failed"
    assert_safe(run)


def test_the_table_has_every_task_failing() -> None:
    assert {task for row in TABLE.values() for task in row.failed} == set(IN_ORDER)
