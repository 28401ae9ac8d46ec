"""What Airflow does with wirings that look as good as ours: the reasons for the DAG's shape.

Each test wires the real DAG wrongly in one place and shows what goes unnoticed or is not put back. A test that fails
here after an update of Airflow says that a reason is gone; it says nothing against the DAG.
"""

from __future__ import annotations

from typing import Any

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import DAG, TriggerRule
from airflow.sdk.exceptions import AirflowSkipException
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.session import create_session

from tests.dags.played_run import play


def make_ordinary(task: Any, trigger_rule: TriggerRule) -> None:
    """A teardown, or a setup, as an ordinary task."""
    task.is_setup = task.is_teardown = False
    task.trigger_rule = trigger_rule


def unlink(upstream: Any, downstream: Any) -> None:
    """The opposite of ``>>``."""
    upstream.downstream_task_ids.discard(downstream.task_id)
    downstream.upstream_task_ids.discard(upstream.task_id)


def drop(dag: DAG, task_id: str) -> None:
    """A DAG without that task; what was after it is after what was before it."""
    task: Any = dag.get_task(task_id)
    before, after = task.upstream_list, task.downstream_list
    for each in before:
        unlink(each, task)
    for each in after:
        unlink(task, each)
    for each in before:
        each >> after
    task.task_group.children.pop(task_id)
    dag.task_dict.pop(task_id)


def test_a_report_that_is_an_ordinary_task_hides_what_verify_restored_found(variant: DAG) -> None:
    """Why ``report`` is a teardown without setups: as the last ordinary task it would decide the run's state."""
    make_ordinary(variant.get_task("report"), TriggerRule.ALL_DONE)
    run = play(variant, executed=False, failing={"verify_restored"})
    assert run.tasks["verify_restored"] == "failed"
    assert run.state == "success"


def test_a_grant_that_is_the_only_setup_of_its_revoke_leaves_the_role_when_it_is_marked_failed(variant: DAG) -> None:
    """Why ``verify_access`` is a setup of ``revoke_image_pruner`` too: a grant may fail after it was made."""
    unlink(variant.get_task("verify_access"), variant.get_task("revoke_image_pruner"))
    run = play(variant, executed=False, failing={"grant_image_pruner"})
    assert run.tasks["revoke_image_pruner"] == "upstream_failed"


def test_a_report_that_is_an_ordinary_task_hides_a_failed_revoke(variant: DAG) -> None:
    """Why ``report`` is a teardown without setups: ``verify_restored``, which did not run, would decide nothing."""
    make_ordinary(variant.get_task("report"), TriggerRule.ALL_DONE)
    run = play(variant, executed=False, failing={"revoke_image_pruner"})
    assert run.tasks["verify_restored"] == "upstream_failed"
    assert run.state == "success"


def test_verify_restored_in_a_chain_after_revoke_does_not_notice_a_failed_restore(variant: DAG) -> None:
    """Why ``verify_restored`` hangs directly on both teardowns, whatever else is wired between them."""
    for task_id in ("remove_deleted", "integrity_after", "reconcile"):
        drop(variant, task_id)
    restore, revoke, verify = map(variant.get_task, ("restore_read_write", "revoke_image_pruner", "verify_restored"))
    unlink(restore, verify)
    unlink(restore, variant.get_task("report"))
    assert restore.downstream_task_ids == {revoke.task_id}
    run = play(variant, executed=False, failing={"restore_read_write"})
    assert run.tasks["restore_read_write"] == "failed"
    assert run.state == "success"


def test_a_failed_restore_with_no_ordinary_task_after_it_is_not_noticed(variant: DAG) -> None:
    """Why an ordinary task comes after the teardown at all."""
    for task_id in ("remove_deleted", "integrity_after", "reconcile", "verify_restored"):
        drop(variant, task_id)
    run = play(variant, executed=False, failing={"restore_read_write"})
    assert run.tasks["restore_read_write"] == "failed"
    assert run.state == "success"


@pytest.mark.parametrize("after", ["reconcile", "integrity_after", "verify_restored"])
def test_an_ordinary_task_downstream_of_the_delete_hides_its_failure(variant: DAG, after: str) -> None:
    """Why ``hard_prune`` has nothing directly downstream but ``restore_read_write``: else it is no effective leaf."""
    variant.get_task("hard_prune") >> variant.get_task(after)
    variant.get_task(after).trigger_rule = TriggerRule.ALL_DONE
    run = play(variant, failing={"hard_prune"}, executed=after == "reconcile")
    assert run.tasks["hard_prune"] == "failed"
    assert run.state == "success"


@pytest.mark.parametrize("task_id", ["base_prune", "survey"])
def test_a_switched_off_step_that_ends_as_skipped_takes_all_the_rest_with_it(variant: DAG, task_id: str) -> None:
    """Why ``base_prune`` and ``survey`` end as success when they are switched off: the hard prune would never run."""

    def skip() -> None:
        raise AirflowSkipException("switched off")

    run = play(variant, steps={task_id: skip}, executed=task_id == "base_prune")
    assert {run.tasks[each] for each in ("survey_gate", "set_read_only", "hard_prune")} == {"skipped"}
    assert run.state == "success"


def test_on_failure_fail_dagrun_on_the_teardown_hides_a_failed_delete(variant: DAG) -> None:
    """Why ``restore_read_write`` has no ``on_failure_fail_dagrun``: it becomes the leaf instead of ``hard_prune``."""
    variant.get_task("restore_read_write").on_failure_fail_dagrun = True
    run = play(variant, executed=False, failing={"hard_prune"})
    assert run.tasks["hard_prune"] == "failed"
    assert run.state == "success"


def without_teardown(dag: DAG) -> None:
    """The step that puts the registry back as a plain task that runs always; setups need a teardown, so no setups."""
    make_ordinary(dag.get_task("restore_read_write"), TriggerRule.ALL_DONE)
    for setup in ("arm_window", "set_read_only"):
        make_ordinary(dag.get_task(setup), TriggerRule.ALL_SUCCESS)


def test_a_plain_task_that_runs_always_in_place_of_the_teardown_hides_a_failed_delete(variant: DAG) -> None:
    """Why ``restore_read_write`` is a teardown and not a task with ``trigger_rule="all_done"``."""
    without_teardown(variant)
    run = play(variant, executed=False, failing={"hard_prune"})
    assert run.tasks["restore_read_write"] == "success"
    assert run.tasks["hard_prune"] == "failed"
    assert run.state == "success"


def test_a_plain_task_that_runs_always_in_place_of_the_teardown_runs_without_a_window_too(variant: DAG) -> None:
    """Why ``restore_read_write`` is a teardown: a run that never opened the window must not touch the registry."""
    without_teardown(variant)
    run = play(variant, executed=False, failing={"survey_gate"})
    assert run.tasks["arm_window"] == "upstream_failed"
    assert "restore_read_write" in run.ran


def test_with_set_read_only_as_the_only_setup_its_failure_leaves_the_registry_read_only(variant: DAG) -> None:
    """Why ``arm_window`` is a setup too: ``set_read_only`` may fail *after* it has patched, and one that succeeded is
    what makes the teardown run.
    """
    make_ordinary(variant.get_task("arm_window"), TriggerRule.ALL_SUCCESS)
    unlink(variant.get_task("arm_window"), variant.get_task("restore_read_write"))
    run = play(variant, executed=False, failing={"set_read_only"})
    assert run.tasks["restore_read_write"] == "upstream_failed"
    assert "restore_read_write" not in run.ran


def test_verify_restored_that_wants_all_upstream_to_succeed_does_not_look_on_a_quiet_day(variant: DAG) -> None:
    """Why ``verify_restored`` has ``trigger_rule="none_failed"``: ``restore_read_write`` is skipped when there was no
    window, and the grant may still be left behind.
    """
    variant.get_task("verify_restored").trigger_rule = TriggerRule.ALL_SUCCESS

    def skip() -> None:
        raise AirflowSkipException("below the thresholds")

    run = play(variant, executed=False, steps={"survey_gate": skip})
    assert run.tasks["verify_restored"] == "skipped"


def test_a_report_after_verify_restored_alone_does_not_wait_for_revoke(variant: DAG) -> None:
    """Why ``report`` is directly after ``revoke_image_pruner`` too: ``verify_restored`` is given up as soon as
    ``restore_read_write`` has failed, and the report would not know how the revoke ended.
    """
    drop(variant, "remove_deleted")
    unlink(variant.get_task("revoke_image_pruner"), variant.get_task("report"))
    report_meanwhile = []

    def look_at_the_report() -> None:
        with create_session() as session:
            states = session.query(TaskInstance.state).filter_by(dag_id=variant.dag_id, task_id="report")
            newest = states.order_by(TaskInstance.id.desc()).first()
        report_meanwhile.append(newest and newest.state)

    play(variant, executed=False, failing={"restore_read_write"}, steps={"revoke_image_pruner": look_at_the_report})
    assert report_meanwhile in (["scheduled"], ["success"]), "the scheduler has let both start at once"


def cleared_with(dag: DAG, task_id: str) -> set[str]:
    """What Airflow clears when a user clears one task without its downstream."""
    stored = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    subset = stored.partial_subset(task_id, include_downstream=False, include_upstream=False)
    return set(subset.task_dict)


def test_clearing_the_delete_opens_the_window_again_but_makes_no_new_dry_run(dag: DAG) -> None:
    """Why ``set_read_only`` does the wait itself, and ``hard_prune`` looks for itself whether all is settled: no
    ordinary task between the setups and the delete runs again.
    """
    window = {"arm_window", "set_read_only", "restore_read_write"}
    role = {"verify_access", "grant_image_pruner", "revoke_image_pruner"}
    assert cleared_with(dag, "hard_prune") == {"hard_prune", *window, *role}
