"""The shape of the real DAG. Why it is so: test_wrong_wirings.py shows what each other shape hides."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup, TriggerRule
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.serialization.serialized_objects import DagSerialization
from fastapi.testclient import TestClient

from dags.registry_guard import build_guard
from dags.registry_prune import build_dag
from include.registry_prune.pruner.process_scripts import KILL_SECONDS
from include.registry_prune.pruner.processes import DELETED_POD_SECONDS
from include.registry_prune.settings.clusters import ClusterSettings
from tests.dags.played_run import store
from tests.run_tasks import IN_ORDER

SETUPS = {"verify_access", "grant_image_pruner", "arm_window", "set_read_only"}
TEARDOWNS = {"restore_read_write", "revoke_image_pruner", "report"}
IN_WINDOW = {"arm_window", "set_read_only", "dry_run", "blob_threshold", "hard_prune", "restore_read_write"}
OUTSIDE = set(IN_ORDER) - IN_WINDOW
BOXES = {
    "verify_access": ("verify_access",),
    "Look first": (
        "base_prune",
        "restart_registry",
        "grant_image_pruner",
        "survey",
        "survey_gate",
        "integrity_before",
    ),
    "Wait for the moment": ("approve_window", "right_moment"),
    "Read-only window": (
        "arm_window",
        "set_read_only",
        "dry_run",
        "blob_threshold",
        "hard_prune",
        "restore_read_write",
    ),
    "Afterwards": ("reconcile", "integrity_after", "revoke_image_pruner", "verify_restored", "remove_deleted"),
    "report": ("report",),
}
CHAIN = IN_ORDER[: IN_ORDER.index("verify_restored")]


def ended_after(task: Any) -> timedelta:
    """When Airflow ends the task."""
    limit = task.execution_timeout
    assert isinstance(limit, timedelta)
    return limit


def test_one_run_at_a_time_no_catching_up_and_no_end_that_airflow_enforces(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.dagrun_timeout is None, "when it elapses, teardowns are skipped too"
    assert str(dag.schedule) == "15 3 * * *"
    assert not dag.fail_fast


def test_an_asset_begins_runs_beside_the_schedule_or_instead_of_it() -> None:
    both: Any = build_dag(ClusterSettings(on_asset="registry storage")).schedule
    assert isinstance(both, AssetOrTimeSchedule)
    assert both.timetable == CronTriggerTimetable("15 3 * * *", timezone="UTC")
    alone: Any = build_dag(ClusterSettings(on_asset="registry storage", schedule=None)).schedule
    assert alone == [Asset("registry storage")]


def test_the_steps_follow_each_other_in_the_documented_order(dag: DAG) -> None:
    assert [*CHAIN, "verify_restored", "remove_deleted", "report"] == dag.task_ids
    for before, after in itertools.pairwise(task for task in CHAIN if task != "reconcile"):
        assert after in dag.get_task(before).downstream_task_ids


def test_the_graph_shows_the_procedure_in_six_boxes(dag: DAG) -> None:
    """As the UI draws it while no group is open; the ids of the tasks are without the group's."""
    boxes = {
        node.group_display_name if isinstance(node, TaskGroup) else node.node_id: (
            tuple(task.task_id for task in node.iter_tasks()) if isinstance(node, TaskGroup) else (node.node_id,)
        )
        for node in dag.task_group.children.values()
    }
    assert boxes == BOXES
    assert list(boxes) == list(BOXES)


def test_every_group_says_what_it_is_for(dag: DAG) -> None:
    groups = [group for group_id, group in dag.task_group_dict.items() if group_id]
    assert len(groups) == 4
    assert [group.group_id for group in groups if not group.tooltip.endswith(".")] == []


def test_tasks_are_wired_and_groups_are_not(dag: DAG) -> None:
    """An edge of a group leaves its teardowns out, and so would hide one."""
    for group in dag.task_group_dict.values():
        assert group.upstream_group_ids | group.downstream_group_ids == set()
        assert group.upstream_task_ids | group.downstream_task_ids == set()


def test_reconciling_and_the_integrity_check_do_not_wait_for_each_other(dag: DAG) -> None:
    """Neither may keep the other from its work, and both decide the run's state."""
    for task_id in ("reconcile", "integrity_after"):
        assert dag.get_task(task_id).upstream_task_ids == {"restore_read_write"}
        assert dag.get_task(task_id).downstream_task_ids == {"revoke_image_pruner", "remove_deleted"}


def test_which_steps_are_setups_and_which_are_teardowns(dag: DAG) -> None:
    assert {task.task_id for task in dag.tasks if task.is_setup} == SETUPS
    assert {task.task_id for task in dag.tasks if task.is_teardown} == TEARDOWNS
    assert [task.task_id for task in dag.tasks if task.on_failure_fail_dagrun] == []


def test_the_window_is_closed_if_it_was_armed_or_opened(dag: DAG) -> None:
    restore = dag.get_task("restore_read_write")
    assert setups_of(dag, "restore_read_write") == {"arm_window", "set_read_only"}
    assert restore.trigger_rule is TriggerRule.ALL_DONE_SETUP_SUCCESS


def test_the_role_is_taken_back_also_where_the_grant_itself_was_marked_failed(dag: DAG) -> None:
    assert setups_of(dag, "revoke_image_pruner") == {"verify_access", "grant_image_pruner"}


def setups_of(dag: DAG, task_id: str) -> set[str]:
    """The setups that decide whether a teardown runs."""
    return {task for task in dag.get_task(task_id).upstream_task_ids if dag.get_task(task).is_setup}


def test_a_failed_delete_is_not_hidden(dag: DAG) -> None:
    assert dag.get_task("hard_prune").downstream_task_ids == {"restore_read_write"}


def test_verify_restored_looks_whatever_became_of_the_teardowns(dag: DAG) -> None:
    verify = dag.get_task("verify_restored")
    assert verify.upstream_task_ids == {"restore_read_write", "revoke_image_pruner"}
    assert verify.trigger_rule is TriggerRule.NONE_FAILED
    assert not verify.is_teardown


def test_the_report_comes_last_and_decides_nothing(dag: DAG) -> None:
    report = dag.get_task("report")
    assert report.downstream_task_ids == set()
    assert report.upstream_task_ids == {"revoke_image_pruner", "verify_restored", "remove_deleted"}
    assert setups_of(dag, "report") == set()
    everything = {task.task_id for task in report.get_flat_relatives(upstream=True)}
    assert everything == set(dag.task_ids) - {"report"}


def test_every_task_is_bounded_in_time(dag: DAG) -> None:
    unbounded = [task.task_id for task in dag.tasks if not task.execution_timeout]
    assert unbounded == []


@pytest.mark.parametrize(
    ("task_id", "limit"),
    [
        ("base_prune", "base_prune_limit"),
        ("restart_registry", "settle_limit"),
        ("survey", "dry_run_limit"),
        ("integrity_before", "integrity_limit"),
        ("set_read_only", "settle_limit"),
        ("dry_run", "dry_run_limit"),
        ("hard_prune", "window_limit"),
        ("restore_read_write", "settle_limit"),
        ("reconcile", "dry_run_limit"),
        ("integrity_after", "integrity_limit"),
    ],
)
def test_a_step_can_say_itself_that_it_took_too_long_before_airflow_ends_it(dag: DAG, task_id: str, limit: str) -> None:
    own_limit = timedelta(seconds=ClusterSettings().seconds(limit))  # type: ignore[arg-type]
    assert ended_after(dag.get_task(task_id)) > own_limit


def test_the_base_prune_may_use_its_wait_and_its_limit_one_after_the_other(dag: DAG) -> None:
    settings = ClusterSettings()
    own_limits = timedelta(seconds=settings.seconds("base_prune_wait") + settings.seconds("base_prune_limit"))
    assert ended_after(dag.get_task("base_prune")) > own_limits


@pytest.mark.parametrize("gate", ["survey_gate", "blob_threshold"])
def test_a_gate_can_say_itself_that_it_took_too_long_before_airflow_ends_it(dag: DAG, gate: str) -> None:
    task: Any = dag.get_task(gate)
    assert task.execution_timeout > timedelta(seconds=task.timeout)
    assert not task.soft_fail, "a verdict that does not come is a failure, not a quiet day"


def test_the_window_is_closed_at_the_first_failure_but_closing_it_is_tried_for_an_hour(dag: DAG) -> None:
    assert dag.get_task("set_read_only").retries == 0
    # A retry of the delete finds it at work and follows it.
    assert (dag.get_task("hard_prune").retries or 0) > 0
    restore: Any = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).get_task("restore_read_write")
    assert restore.retries >= 5
    assert restore.retry_exponential_backoff > 1
    pauses = [
        min(restore.retry_delay * restore.retry_exponential_backoff**retry, restore.max_retry_delay)
        for retry in range(restore.retries)
    ]
    assert sum(pauses, timedelta()) >= timedelta(hours=1)


def test_what_closes_a_window_may_take_all_its_steps_one_after_the_other(dag: DAG) -> None:
    """The end of the pruners (a pod that is deleted for it included), the wait until settled, replaced pods."""
    settings = ClusterSettings()
    pruners = settings.seconds("pruner_stop") + KILL_SECONDS + DELETED_POD_SECONDS
    own_limits = timedelta(seconds=pruners + 2 * settings.seconds("settle_limit"))
    (guard,) = build_guard(settings).tasks
    for task in (dag.get_task("restore_read_write"), dag.get_task("arm_window"), guard):
        assert ended_after(task) > own_limits


def test_with_few_workers_an_open_window_comes_before_the_surveys_of_other_clusters(dag: DAG) -> None:
    """Guards `FIRST_OF_ALL`, and the weight rule: by default a task comes the sooner the more tasks follow it."""
    guard = build_guard(ClusterSettings(name="other"))
    stored = [DagSerialization.deserialize_dag(DagSerialization.serialize_dag(each)) for each in (dag, guard)]
    weights = {
        task.task_id: task.weight_rule.get_weight(cast(TaskInstance, SimpleNamespace(task=task)))
        for each in stored
        for task in each.tasks
    }
    inside = weights.keys() & {*dag.task_dict, "guard_other"} - OUTSIDE
    assert inside == {*IN_WINDOW, "guard_other"}
    assert min(weights[task] for task in inside) > max(weights[task] for task in OUTSIDE)


def test_what_has_to_be_put_back_never_waits_in_the_triggerer(dag: DAG) -> None:
    for task_id in TEARDOWNS:
        task = dag.get_task(task_id)
        assert not getattr(task, "deferrable", False)
        assert not task.start_from_trigger


@pytest.mark.parametrize("build", [build_dag, build_guard])
@pytest.mark.parametrize("path", ["/api/v2/backfills", "/api/v2/backfills/dry_run"])
def test_airflow_refuses_a_backfill(rest_api: TestClient, build: Callable[[ClusterSettings], DAG], path: str) -> None:
    """Its runs are not counted in `max_active_runs`: they would prune one registry side by side."""
    dag = build(ClusterSettings(name="filled"))
    store(dag)
    asked = {"dag_id": dag.dag_id, "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-03T00:00:00Z"}
    answer = rest_api.post(path, json=asked)
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        f"Dag with dag_id: '{dag.dag_id}' does not allow backfill runs",
    )


def test_airflow_takes_every_other_kind_of_run(dag: DAG) -> None:
    assert dag.allowed_run_types == set(DagRunType) - {DagRunType.BACKFILL}


def test_the_page_in_the_ui_names_every_step(dag: DAG) -> None:
    assert dag.doc_md is not None
    assert dag.doc_md.strip().startswith("# ")
    assert set(re.findall(r"`([a-z_]+)`", dag.doc_md)) >= set(dag.task_ids)
